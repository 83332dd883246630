import { Socket } from 'node:net';
import { parentPort } from 'node:worker_threads';
import { ClockDrift } from './clock-drift';
import { killOwnGroup } from './process-group';
import { watchdogFd } from './protocol';
import { FrameReader, type WatchdogFrame } from './watchdog-frames';

/**
 * Runs in a worker thread of the listener, with an event loop of its own, and ends the process
 * - when a tenure's deadline has passed, or the machine was suspended since it was set,
 * - when the pipe from the agent ends, because then the agent is dead.
 *
 * It depends on nothing of the main thread, which may be stuck in a busy loop, and logs nothing: a full pipe at
 * standard output would hold up the kill.
 */

/** The clocks are compared this often while a deadline is set. */
const maxSleepMs = 100;

interface Watched {
  token: number;
  deadlineNs: bigint;
  marginMs: number;
  drift: ClockDrift;
}

const watched = new Map<string, Watched>();
const reader = new FrameReader();
let timer: NodeJS.Timeout | null = null;

function accept(frame: WatchdogFrame): void {
  if ('clear' in frame) {
    watched.delete(frame.clear.lock);
    return;
  }
  const { lock, token, marginMs } = frame.set;
  const deadlineNs = BigInt(frame.set.deadlineNs);
  const known = watched.get(lock);
  if (known && token < known.token) return;
  if (known && token === known.token) {
    if (deadlineNs <= known.deadlineNs) return;
    known.deadlineNs = deadlineNs;
    known.drift.rebase();
    return;
  }
  watched.set(lock, { token, deadlineNs, marginMs, drift: new ClockDrift(marginMs / 2) });
}

const isOver = ({ deadlineNs, drift }: Watched, nowNs: bigint): boolean =>
  nowNs >= deadlineNs || drift.exceeded(nowNs);

const anyIsOver = (): boolean => {
  const nowNs = process.hrtime.bigint();
  return [...watched.values()].some((entry) => isOver(entry, nowNs));
};

function watch(): void {
  if (timer) clearTimeout(timer);
  timer = null;
  if (anyIsOver()) {
    // Timers run before the pipe is read: an extension that came in time may still be in it.
    setImmediate(() => (anyIsOver() ? killOwnGroup() : watch()));
    return;
  }
  if (watched.size === 0) return;
  const nowNs = process.hrtime.bigint();
  const leftMs = [...watched.values()].map(({ deadlineNs }) => Number(deadlineNs - nowNs) / 1e6);
  timer = setTimeout(watch, Math.min(maxSleepMs, Math.ceil(Math.min(...leftMs))));
}

const pipe = new Socket({ fd: watchdogFd, readable: true, writable: false });
pipe.on('data', (chunk: Buffer) => {
  // What throws here ends this thread, and the main thread ends the process when it does.
  for (const frame of reader.push(chunk)) accept(frame);
  watch();
});
for (const event of ['end', 'error', 'close']) pipe.on(event, () => killOwnGroup());

// So that the listener is called warm only once this thread watches. Nothing is ever received here.
// oxlint-disable-next-line unicorn/require-post-message-target-origin -- a worker's port, not a window
parentPort?.postMessage('watching');
