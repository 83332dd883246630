import { now, suspendedMs, type Moment } from '../pod/lease-clock';

/** Reading the uptime costs 7 µs, the other clocks 50 ns. */
const recheckNs = 5_000_000n;
const wallJumpMs = 20;

/**
 * Whether the machine was suspended since a deadline was set: then the monotonic clock, which the deadline is
 * counted by, stood still while the lease in etcd ran on.
 */
export class ClockDrift {
  private base: Moment = now();
  private checkedNs = this.base.ns;
  private checkedWallMs = Date.now();
  private exceededOnce = false;

  /** `limitMs`: half of the deadline's margin. */
  constructor(private readonly limitMs: number) {}

  /** A new deadline was set. What was found before stays found. */
  rebase(): void {
    const current = now();
    if (this.measure(current.ns)) return;
    this.base = current;
  }

  /**
   * Cheap enough to be asked before each message: the uptime is read only every 5 ms, and whenever the wall
   * clock has moved further than the monotonic one.
   */
  exceeded(nowNs: bigint): boolean {
    if (this.exceededOnce) return true;
    const sinceNs = nowNs - this.checkedNs;
    if (sinceNs < recheckNs && Date.now() - this.checkedWallMs < Number(sinceNs) / 1e6 + wallJumpMs)
      return false;
    return this.measure(nowNs);
  }

  private measure(nowNs: bigint): boolean {
    this.checkedNs = nowNs;
    this.checkedWallMs = Date.now();
    this.exceededOnce ||= suspendedMs(this.base) > this.limitMs;
    return this.exceededOnce;
  }
}
