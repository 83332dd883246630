import { constants } from 'node:os';

const ORPHAN_CHECK_MS = 300;

/**
 * Calls `handle` with the exit code to use when this program is to end early: by a signal, or because npm, which
 * started it, was ended. (npm passes a signal on to the shell that it runs scripts with, and that shell passes it on
 * to nobody.) Called once.
 */
export function whenInterrupted(handle) {
  let interrupted = false;
  const interrupt = (signal) => {
    if (interrupted) return;
    interrupted = true;
    handle(128 + constants.signals[signal], signal);
  };
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => interrupt(signal));

  const parent = process.ppid;
  if (process.env.npm_lifecycle_event) {
    setInterval(() => process.ppid !== parent && interrupt('SIGTERM'), ORPHAN_CHECK_MS).unref();
  }
}
