import type { Attempt, AwaitTenureResult } from '../../workflows/contract';
import type { RunningTenure } from './running-tenure';

const keptAttempts = 20;

/**
 * What a region workflow's `awaitTenure` waits on. One wait per lock: a new one ends the older. A wait's end,
 * however it comes, has no effect on the pod.
 */
export class TenureSubscription {
  private attempts: Attempt[] = [];
  private current: { afterToken: number; resolve: (result: AwaitTenureResult) => void } | null = null;
  private lastEndedAtMs = performance.now();

  /** ms since a wait was last open; 0 while one is. */
  get idleMs(): number {
    return this.current ? 0 : performance.now() - this.lastEndedAtMs;
  }

  record(attempt: Attempt): void {
    const last = this.attempts.at(-1);
    // A standing pod is refused on every event: one line for the same answer is enough.
    if (last && last.outcome === attempt.outcome && last.why === attempt.why) this.attempts.pop();
    this.attempts = [...this.attempts, attempt].slice(-keptAttempts);
  }

  /** Resolves with a tenure above `afterToken`, or `not-yet` after `limitMs` or when `signal` aborts. */
  wait(
    afterToken: number,
    running: RunningTenure | null,
    limitMs: number,
    signal: AbortSignal,
  ): Promise<AwaitTenureResult> {
    this.finish({ outcome: 'not-yet', why: 'a newer call took over', attempts: [] });
    return new Promise((resolve) => {
      const timer = setTimeout(() => notYet('nothing to report yet'), limitMs);
      const onAbort = (): void => notYet('the call was cancelled');
      const wait = {
        afterToken,
        resolve: (result: AwaitTenureResult): void => {
          clearTimeout(timer);
          signal.removeEventListener('abort', onAbort);
          if (this.current === wait) {
            this.current = null;
            this.lastEndedAtMs = performance.now();
          }
          resolve(result);
        },
      };
      const notYet = (why: string): void =>
        wait.resolve({ outcome: 'not-yet', why, attempts: this.takeAttempts() });
      this.current = wait;
      signal.addEventListener('abort', onAbort);
      if (signal.aborted) onAbort();
      else if (running) this.announce(running);
    });
  }

  /** A tenure has begun: tells the workflow if it waits for one so new. */
  announce(running: RunningTenure): void {
    const { tenure, receipt } = running;
    if (!this.current || running.phase === 'ended' || tenure.token <= this.current.afterToken) return;
    this.finish({ outcome: 'tenure', tenure, receipt, attempts: this.takeAttempts() });
  }

  /** Ends an open wait without a tenure. */
  end(why: string): void {
    this.finish({ outcome: 'not-yet', why, attempts: this.takeAttempts() });
  }

  private finish(result: AwaitTenureResult): void {
    this.current?.resolve(result);
  }

  private takeAttempts(): Attempt[] {
    const taken = this.attempts;
    this.attempts = [];
    return taken;
  }
}
