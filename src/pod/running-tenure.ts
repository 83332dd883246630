import type { Receipt, Tenure } from '../../workflows/contract';
import type { TraceContext } from '../../workflows/trace-context';
import type { LockSettings } from '../config/config';
import { type ConfirmedExtension, deadlineOf, msUntil, suspendedMs } from './lease-clock';
import type { DrainReport } from '../listener/protocol';
import type { ListenerProcess } from './listener-process';
import type { HolderChange, LockView } from './lock-store';

/**
 * - `running`: the listener consumes.
 * - `draining`: it finishes what is in flight.
 * - `idle`: nothing of this tenure runs any more, drained or dead; the holder key may still be ours.
 * - `ended`: final.
 */
export type TenurePhase = 'running' | 'draining' | 'idle' | 'ended';

/** For the listener's report, after the drain's limit. */
const answerGraceMs = 2_000;

/**
 * A tenure as this pod lives it: its listener process and its deadline. The deadline only moves forward, and
 * never again once it has passed.
 */
export class RunningTenure {
  /** Resolves with the reason when the tenure is over in this pod. */
  readonly ended: Promise<string>;
  /** Resolves when its first message was handed to the handler, or it ended without one. */
  readonly worked: Promise<void>;
  readonly startedAtMs = performance.now();
  receipt: Receipt | null;
  consuming = false;
  private phaseNow: TenurePhase = 'running';
  /** The hand-over that its listener commits by itself, until that has told. */
  private entrusted: HolderChange | null = null;
  private deadline: bigint;
  private timer: NodeJS.Timeout;
  private resolveEnded!: (why: string) => void;
  private resolveWorked!: () => void;

  constructor(
    readonly tenure: Tenure,
    readonly process: ListenerProcess,
    private readonly settings: LockSettings,
    private extension: ConfirmedExtension,
    receipt: Receipt | null,
    private readonly onDeadline: () => void,
    trace?: TraceContext,
  ) {
    this.receipt = receipt;
    this.ended = new Promise((resolve) => (this.resolveEnded = resolve));
    this.worked = new Promise((resolve) => (this.resolveWorked = resolve));
    this.deadline = deadlineOf(extension, settings.deadlineMarginMs);
    this.timer = setTimeout(() => this.checkDeadline(), msUntil(this.deadline));
    process.start({
      lock: tenure.lock,
      token: tenure.token,
      leaseId: tenure.leaseId,
      deadlineNs: this.deadline,
      marginMs: settings.deadlineMarginMs,
      ...(trace && { trace }),
    });
  }

  get token(): number {
    return this.tenure.token;
  }

  get phase(): TenurePhase {
    return this.phaseNow;
  }

  /** ms until the deadline, negative after it. */
  get marginMs(): number {
    return msUntil(this.deadline);
  }

  /** Before the deadline, on a clock that can be believed, and not ended. */
  isValid(): boolean {
    return this.phaseNow !== 'ended' && this.marginMs > 0 && !this.wasSuspended();
  }

  /** Moves the deadline for a confirmed extension, unless it has passed already. */
  extend(extension: ConfirmedExtension): void {
    if (!this.isValid()) return this.checkDeadline();
    const deadline = deadlineOf(extension, this.settings.deadlineMarginMs);
    if (deadline <= this.deadline) return;
    this.deadline = deadline;
    this.extension = extension;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.checkDeadline(), msUntil(deadline));
    this.process.extend({
      lock: this.tenure.lock,
      token: this.token,
      deadlineNs: deadline,
      marginMs: this.settings.deadlineMarginMs,
    });
  }

  /** With `handOver`, the listener sends that when its drain is complete; the report says what came of it. */
  async drain(handOver?: HolderChange): Promise<DrainReport> {
    if (this.phaseNow !== 'ended') this.phaseNow = 'draining';
    this.entrusted = handOver ?? null;
    const { drainLimitMs: limitMs, requestTimeoutMs } = this.settings;
    // A transaction, and the read after one that found its lease gone.
    const answerMs = answerGraceMs + (handOver ? 2 * requestTimeoutMs : 0);
    const report = await this.process.drain({
      ...{ lock: this.tenure.lock, token: this.token, limitMs, answerMs },
      ...(handOver && { handOver }),
    });
    this.entrusted = null;
    // Handlers that outlived the limit die with their process; only its exit makes them harmless.
    if (!report.complete) await this.process.kill('drain ran into its limit');
    if (this.phase !== 'ended') this.phaseNow = 'idle';
    return report;
  }

  /**
   * Whether another holder is what the listener was told to commit, and so no loss: its report is on the way. A `hint`
   * shows the holder key alone.
   */
  isHandedOverIn({ holder, last }: LockView, hint: boolean): boolean {
    const { entrusted } = this;
    if (!entrusted || holder?.region !== entrusted.to.region || holder.pod !== entrusted.to.pod) return false;
    return hint || (last?.modRevision === holder.token && last.receipt.id === entrusted.id);
  }

  /** The listener has exited: nothing of this tenure runs. */
  becomeIdle(): void {
    if (this.phase !== 'ended') this.phaseNow = 'idle';
  }

  /** Consumes again under the same token, after a drain. */
  resume(): void {
    this.phaseNow = 'running';
    this.process.resume(this.tenure.lock, this.token);
  }

  noteFirstMessage(): void {
    this.resolveWorked();
  }

  /** Idempotent. Says whether it was this call that ended it. */
  end(why: string): boolean {
    if (this.phaseNow === 'ended') return false;
    this.phaseNow = 'ended';
    clearTimeout(this.timer);
    this.resolveEnded(why);
    this.resolveWorked();
    return true;
  }

  private wasSuspended(): boolean {
    return Math.abs(suspendedMs(this.extension.sent)) > this.settings.deadlineMarginMs / 2;
  }

  private checkDeadline(): void {
    if (this.phaseNow === 'ended') return;
    if (this.isValid()) {
      // Timers may fire a little early.
      clearTimeout(this.timer);
      this.timer = setTimeout(() => this.checkDeadline(), Math.max(1, msUntil(this.deadline)));
      return;
    }
    this.onDeadline();
  }
}
