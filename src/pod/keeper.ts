import type { Logger } from 'pino';
import { AccessError, LostError, UnknownOutcomeError } from '../../activities/errors';
import type { LockStore, LockView } from './lock-store';
import { type ConfirmedExtension, type Moment, now } from './lease-clock';

/** Pause after an extension that was not confirmed. */
const retryMs = 200;

export type ExtensionOutcome = 'confirmed' | 'unconfirmed' | 'unknown' | 'lost';

export interface KeeperReports {
  /** A linearizable view that was read after the extension's answer. */
  onView(view: LockView): void;
  onConfirmed(extension: ConfirmedExtension): void;
  /** etcd says that the lease, or the candidate key on it, is gone. */
  onLost(why: string): void;
  onAttempt(outcome: ExtensionOutcome, why: string): void;
}

/**
 * Extends one lease every `intervalMs`, from its grant until `stop`. An extension counts only when a
 * linearizable read, begun after the keepalive's answer, shows this pod's candidate key on this lease, under
 * the same raft term: keepalives do not go through raft, and a deposed leader confirms them for seconds. While etcd
 * refuses that read, for a password or a permission, the lease is not extended at all.
 */
export class Keeper {
  private timer: NodeJS.Timeout | null = null;
  private running: Promise<ExtensionOutcome> | null = null;
  private stopped = false;
  private lastConfirmed: ConfirmedExtension | null = null;
  private denied = false;

  constructor(
    private readonly store: LockStore,
    readonly leaseId: string,
    private readonly pod: string,
    private readonly intervalMs: number,
    private readonly reports: KeeperReports,
    private readonly logger: Logger,
  ) {}

  /** The newest confirmed extension, `null` before the first. */
  get confirmed(): ConfirmedExtension | null {
    return this.lastConfirmed;
  }

  /** Extends now and from then on at the interval. */
  start(): void {
    void this.extend();
  }

  /** No further extensions; one under way no longer counts. The lease itself is left alone. */
  stop(): void {
    this.stopped = true;
    if (this.timer) clearTimeout(this.timer);
  }

  /** Extends now, or joins the extension under way. Never throws. */
  extend(): Promise<ExtensionOutcome> {
    this.running ??= this.extendAndSchedule();
    return this.running;
  }

  private async extendAndSchedule(): Promise<ExtensionOutcome> {
    if (this.timer) clearTimeout(this.timer);
    const sent = now();
    const outcome = await this.extendOnce(sent);
    this.running = null;
    if (this.stopped || outcome === 'lost') return outcome;
    // From send to send, so that a slow etcd does not stretch the interval.
    const pauseMs =
      outcome === 'confirmed'
        ? Math.max(0, this.intervalMs - Number(now().ns - sent.ns) / 1e6)
        : Math.min(retryMs, this.intervalMs);
    this.timer = setTimeout(() => void this.extend(), pauseMs);
    return outcome;
  }

  private async extendOnce(sent: Moment): Promise<ExtensionOutcome> {
    try {
      // etcd extends a lease also for those whom it tells nothing: the lock would stay with a pod that cannot work.
      if (this.denied) await this.store.read();
      this.denied = false;
      const answer = await this.store.keepAlive(this.leaseId);
      const view = await this.store.read();
      if (this.stopped) return this.report('unconfirmed', 'the keeper was stopped');
      this.reports.onView(view);
      if (view.raftTerm !== answer.raftTerm)
        return this.report('unconfirmed', `raft term went from ${answer.raftTerm} to ${view.raftTerm}`);
      if (!view.candidates.some((key) => key.pod === this.pod && key.leaseId === this.leaseId))
        return this.lose('the candidate key is gone');
      this.lastConfirmed = { sent, ttlMs: answer.ttlMs };
      this.reports.onConfirmed(this.lastConfirmed);
      return this.report('confirmed', 'extended');
    } catch (error) {
      if (error instanceof LostError) return this.lose(error.message);
      if (error instanceof UnknownOutcomeError) return this.report('unknown', error.message);
      if (error instanceof AccessError) {
        if (!this.denied) this.logger.error({ reason: error.message }, 'etcd does not let this pod in');
        this.denied = true;
        return this.report('unknown', error.message);
      }
      // A defect, not a decision: treated like no answer, so that the deadline decides.
      this.logger.error({ err: error }, 'extension failed unexpectedly');
      return this.report('unknown', String(error));
    }
  }

  private lose(why: string): ExtensionOutcome {
    if (this.stopped) return this.report('unconfirmed', 'the keeper was stopped');
    this.stop();
    this.report('lost', why);
    this.reports.onLost(why);
    return 'lost';
  }

  private report(outcome: ExtensionOutcome, why: string): ExtensionOutcome {
    this.reports.onAttempt(outcome, why);
    return outcome;
  }
}
