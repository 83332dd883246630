import { constants } from 'node:os';

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** Turns the first signal into an abort, so that everything is stopped in order; the second ends at once. */
export class Interruption {
  private readonly controller = new AbortController();
  /** As a shell reports it: 130 after SIGINT, 143 after SIGTERM. */
  exitCode: number | null = null;

  constructor() {
    for (const name of SIGNALS) process.on(name, this.onSignal);
  }

  get signal(): AbortSignal {
    return this.controller.signal;
  }

  /** Resolves when there is one. */
  wait(): Promise<void> {
    return new Promise((resolve) => {
      if (this.signal.aborted) resolve();
      // A pending promise does not keep Node alive.
      const alive = setInterval(() => undefined, 60_000);
      const done = (): void => {
        clearInterval(alive);
        resolve();
      };
      this.signal.addEventListener('abort', done, { once: true });
    });
  }

  dispose(): void {
    for (const name of SIGNALS) process.off(name, this.onSignal);
  }

  private readonly onSignal = (name: NodeJS.Signals): void => {
    // The reaper ends what is left.
    if (this.exitCode !== null) process.exit(this.exitCode);
    this.exitCode = 128 + constants.signals[name];
    this.controller.abort(new Error(`interrupted by ${name}`));
  };
}
