/** Pause before a reconciliation that failed is tried again. */
const retryMs = 200;

/**
 * Runs everything that writes one at a time, and `reconcile` again and again for as long as something has
 * changed since it last began. A reconciliation that throws is tried again after 200 ms.
 */
export class Reconciler {
  private dirty = false;
  private running = false;
  private closed = false;
  private last: Promise<unknown> = Promise.resolve();
  private retryTimer: NodeJS.Timeout | null = null;

  constructor(
    private readonly reconcile: () => Promise<void>,
    private readonly onError: (error: unknown) => void,
  ) {}

  /** Runs `work` when nothing else that writes is under way. */
  exclusive<T>(work: () => Promise<T>): Promise<T> {
    const result = this.last.then(work);
    this.last = result.catch(() => {});
    return result;
  }

  /** Something has changed. */
  kick(): void {
    this.dirty = true;
    if (this.running || this.closed) return;
    this.running = true;
    void this.exclusive(() => this.untilClean()).finally(() => {
      this.running = false;
      // A kick that came after the last look, before this.
      if (this.dirty && !this.retryTimer) this.kick();
    });
  }

  /** From within `reconcile`: nothing more to do until the next kick. */
  rest(): void {
    this.dirty = false;
  }

  close(): void {
    this.closed = true;
    if (this.retryTimer) clearTimeout(this.retryTimer);
  }

  private async untilClean(): Promise<void> {
    while (this.dirty && !this.closed) {
      this.dirty = false;
      try {
        await this.reconcile();
      } catch (error) {
        this.onError(error);
        this.retryTimer ??= setTimeout(() => {
          this.retryTimer = null;
          this.kick();
        }, retryMs);
        return;
      }
    }
  }
}
