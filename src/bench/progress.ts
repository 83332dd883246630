/** Says how far a bench is, and how long it will still take at the pace so far. */
export class Progress {
  private beganMs = 0;
  private done = 0;

  constructor(
    private readonly title: string,
    /** Rounds of all variants together. */
    private readonly total: number,
    private readonly say: (line: string) => void,
  ) {}

  /** Before a round. */
  next(what: string): void {
    if (this.done === 0) this.beganMs = performance.now();
    const line = `${this.title}: round ${this.done + 1} of ${this.total} (${what})`;
    const perRoundMs = (performance.now() - this.beganMs) / this.done;
    const left = perRoundMs * (this.total - this.done);
    this.say(this.done === 0 ? line : `${line}; ${timeLeft(left)} left`);
    this.done += 1;
  }
}

export function timeLeft(ms: number): string {
  const seconds = Math.round(ms / 1000);
  return seconds < 90 ? `about ${seconds} s` : `about ${Math.round(seconds / 60)} min`;
}
