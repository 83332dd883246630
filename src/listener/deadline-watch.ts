import { ClockDrift } from './clock-drift';
import type { WatchdogFrame } from './watchdog-frames';

/** The clocks are compared this often while a deadline is set. */
const maxSleepMs = 100;

interface Watched {
  token: number;
  deadlineNs: bigint;
  marginMs: number;
  drift: ClockDrift;
}

const isOver = ({ deadlineNs, drift }: Watched, nowNs: bigint): boolean =>
  nowNs >= deadlineNs || drift.exceeded(nowNs);

/** Calls `onOver` once a deadline has passed, or the machine was suspended since it was set. Deadlines only move forward. */
export class DeadlineWatch {
  private readonly watched = new Map<string, Watched>();
  private timer: NodeJS.Timeout | null = null;

  constructor(private readonly onOver: () => void) {}

  /** Takes note of the frames of one chunk, then looks at the clock. */
  take(frames: readonly WatchdogFrame[]): void {
    for (const frame of frames) this.accept(frame);
    this.watch();
  }

  private accept(frame: WatchdogFrame): void {
    if ('clear' in frame) {
      this.watched.delete(frame.clear.lock);
      return;
    }
    const { lock, token, marginMs } = frame.set;
    const deadlineNs = BigInt(frame.set.deadlineNs);
    const known = this.watched.get(lock);
    if (known && token < known.token) return;
    if (known && token === known.token) {
      if (deadlineNs <= known.deadlineNs) return;
      known.deadlineNs = deadlineNs;
      known.drift.rebase();
      return;
    }
    this.watched.set(lock, { token, deadlineNs, marginMs, drift: new ClockDrift(marginMs / 2) });
  }

  private anyIsOver(): boolean {
    const nowNs = process.hrtime.bigint();
    return [...this.watched.values()].some((entry) => isOver(entry, nowNs));
  }

  private watch(): void {
    if (this.timer) clearTimeout(this.timer);
    this.timer = null;
    if (this.anyIsOver()) {
      // Timers run before the pipe is read: an extension that came in time may still be in it.
      setImmediate(() => (this.anyIsOver() ? this.onOver() : this.watch()));
      return;
    }
    if (this.watched.size === 0) return;
    const nowNs = process.hrtime.bigint();
    const leftMs = [...this.watched.values()].map(({ deadlineNs }) => Number(deadlineNs - nowNs) / 1e6);
    this.timer = setTimeout(() => this.watch(), Math.min(maxSleepMs, Math.ceil(Math.min(...leftMs))));
  }
}
