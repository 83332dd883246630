/** What a listener has counted since its process began. */
export interface Counted {
  processed: number;
  failed: number;
}

interface Reading extends Counted {
  atMs: number;
}

const windowMs = 60_000;
/** One failure of one message is no rate. */
const leastAttempts = 20;

/** How much of a listener's work has failed within the last minute. */
export class FailureRate {
  private readings: Reading[] = [];

  /** `limit` is asked at each look: it may change while the pod runs. */
  constructor(private readonly limit: () => number) {}

  /** From here on it counts: a tenure begins in a process that has `counted` this, or its hand-over was refused. */
  begin({ processed, failed }: Counted, atMs: number): void {
    this.readings = [{ processed, failed, atMs }];
  }

  /** `atMs` of the monotonic clock. */
  note({ processed, failed }: Counted, atMs: number): void {
    this.readings = [
      ...this.readings.filter((each) => atMs - each.atMs <= windowMs),
      { processed, failed, atMs },
    ];
  }

  /** Why the lock should go elsewhere, or `null`. */
  get why(): string | null {
    const [first] = this.readings;
    const last = this.readings.at(-1);
    if (!first || !last) return null;
    const failed = last.failed - first.failed;
    const attempts = failed + last.processed - first.processed;
    if (attempts < leastAttempts || failed / attempts <= this.limit()) return null;
    return `${failed} of ${attempts} messages failed within the last minute (maxFailureRate = ${this.limit()})`;
  }
}
