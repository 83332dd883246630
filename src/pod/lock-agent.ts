import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import { AccessError, LostError, mayPass, UnknownOutcomeError } from '../../activities/errors';
import type { Attempt, AwaitTenureResult, Failback, Receipt, Tenure } from '../../workflows/contract';
import type { TraceContext } from '../../workflows/trace-context';
import type { LockSettings } from '../config/config';
import type { AuditTrail } from './audit-trail';
import { Candidacy, type PodIdentity } from './candidacy';
import { FailureRate } from './failure-rate';
import { changesByItself, readWhyStay } from './flap-rule';
import { HandOver, killedForLoss } from './hand-over';
import { deadlineOf, msUntil, suspendedMs } from './lease-clock';
import type { ListenerGroup } from './listener-group';
import type { ListenerProcess } from './listener-process';
import type { LockMetrics } from './lock-metrics';
import type { CordonKey, HolderKey, LockStore, LockView, LockWatch, WatchHint } from './lock-store';
import { Preparation } from './preparation';
import { Reconciler } from './reconciler';
import { headStartMs, regionsBefore, whereToGoBack } from './region-preference';
import { RunningTenure } from './running-tenure';
import { TakeOverSpan } from './take-over-span';
import { TenureSubscription } from './tenure-subscription';

const keptReceipts = 1_000;
const refreshDelayMs = 30;
/** An empty queue has no first message to wait for. */
const announceDelayMs = 150;
const firstBackoffMs = 5_000;
const maxBackoffMs = 300_000;
/** A tenure of this length makes the next give-up the first one again. */
const steadyTenureMs = 300_000;

/** What the lock agent tells the region workflow, where it can be reached. */
export interface WorkflowNotices {
  tenureEnded(lock: string, token: number, why: string): void;
}

/**
 * One lock in this pod, level-triggered: on each watch event, poll and extension it compares "does `holder`
 * carry my lease and my token?" with "is a tenure running?" and acts on the difference. Everything that
 * writes runs one at a time; a loss is acted on at once.
 */
export class LockAgent {
  readonly lock: string;
  readonly candidacy: Candidacy;
  readonly subscription = new TenureSubscription();
  /** What is worth keeping for ever goes there, too. Set before `start`. */
  audit: AuditTrail | null = null;
  /** Bounds how many locks of a pod register at once. Set before `start`. */
  registering: { execute(work: () => Promise<void>): Promise<void> } = { execute: (work) => work() };
  readonly takeOver: TakeOverSpan;
  private readonly preparation: Preparation;
  private readonly handOver: HandOver;
  private readonly failures: FailureRate;
  private viewNow: LockView | null = null;
  private tenureNow: RunningTenure | null = null;
  private standingNow = false;
  private stoppingNow = false;
  private closed = false;
  private highestToken = 0;
  private backoffUntilMs = 0;
  /** Since when this pod has seen that its region may take the lock; `null` while it may not. */
  private freeSinceMs: number | null = null;
  private headStartTimer: NodeJS.Timeout | null = null;
  /** Since when nobody has worked, as far as this pod knows; `null` while another pod holds the lock. */
  private vacantSinceMs: number | null = null;
  private hasStarted = false;
  private giveUps = 0;
  private readonly reconciler: Reconciler;
  /** Until it resolves, a killed listener may still run. */
  private dying: Promise<unknown> = Promise.resolve();
  private unhealthySinceMs: number | null = null;
  private lostLeaseId: string | null = null;
  private watch: LockWatch | null = null;
  private refreshTimer: NodeJS.Timeout | null = null;
  private readonly viewWatchers = new Set<() => void>();

  constructor(
    readonly settings: LockSettings,
    readonly identity: PodIdentity,
    readonly store: LockStore,
    readonly listeners: ListenerGroup,
    readonly metrics: LockMetrics,
    private readonly notices: WorkflowNotices,
    readonly logger: Logger,
  ) {
    this.lock = settings.name;
    this.candidacy = new Candidacy(
      store,
      identity,
      settings,
      {
        onView: (view) => this.observe(view),
        onConfirmed: (extension) => {
          this.tenureNow?.extend(extension);
          this.preparation.extend(deadlineOf(extension, settings.deadlineMarginMs));
        },
        onLost: (why) => this.loseLease(why),
        onAttempt: (outcome, why) => {
          metrics.extension(outcome);
          const line = { outcome, reason: why, token: this.tenureNow?.token };
          if (outcome !== 'confirmed') logger.warn(line, 'lease not extended');
          else if (this.tenureNow) logger.info(line, 'lease extended');
          else logger.debug(line, 'lease extended');
        },
      },
      logger,
    );
    this.takeOver = new TakeOverSpan(this.lock, identity);
    this.preparation = new Preparation(this.lock, settings.deadlineMarginMs);
    this.handOver = new HandOver(this);
    this.failures = new FailureRate(() => settings.maxFailureRate);
    this.reconciler = new Reconciler(
      () => this.reconcileOnce(),
      (error) => this.onReconcileError(error),
    );
  }

  get tenure(): RunningTenure | null {
    return this.tenureNow;
  }
  get view(): LockView | null {
    return this.viewNow;
  }
  get standing(): boolean {
    return this.standingNow;
  }
  /** An operator has taken this pod's region out of service. */
  get cordon(): CordonKey | null {
    return this.viewNow?.cordons.find(({ region }) => region === this.identity.region) ?? null;
  }
  /** The more preferred region that the lock should go back to now, as far as this holder's pod knows. */
  get failback(): Failback | null {
    return this.viewNow && whereToGoBack(this.viewNow, this.identity.region, this.settings, Date.now());
  }
  get stopping(): boolean {
    return this.stoppingNow;
  }
  get instructions(): HandOver {
    return this.handOver;
  }

  /** Starts to be a candidate. Keeps trying while etcd is away. */
  start(): void {
    const mine = (process: ListenerProcess, lock: string, token: number): RunningTenure | null =>
      lock === this.lock && this.tenureNow?.process === process && this.tenureNow.token === token
        ? this.tenureNow
        : null;
    this.listeners.on('readiness', (lock) => lock === this.lock && this.kick());
    this.listeners.on('exit', (process, why) => this.onListenerExit(process, why));
    this.listeners.on('prepared', (process, lock) => {
      if (lock !== this.lock) return;
      this.preparation.noteReady(process);
      this.kick();
    });
    this.listeners.on('started', (process, lock, token) => {
      if (lock === this.lock) this.onStartedAhead(process, token);
    });
    this.listeners.on('consuming', (process, lock, token) => {
      const tenure = mine(process, lock, token);
      if (tenure) {
        tenure.consuming = true;
        this.noteWorking(tenure);
      } else if (lock === this.lock) this.preparation.noteConsuming(process, token);
    });
    this.listeners.on('firstMessage', (process, lock, token, startedAt) => {
      const tenure = mine(process, lock, token);
      if (tenure) this.onFirstMessage(tenure, startedAt);
      else if (lock === this.lock) this.preparation.noteFirstMessage(process, token, startedAt);
    });
    this.listeners.on('halted', (process, lock, token, why) => {
      const tenure = mine(process, lock, token);
      if (tenure) this.endTenure(tenure, 'lost', why);
    });
    this.watch = this.store.watch((hint) => this.onHint(hint));
    this.kick();
  }

  /** Its settings have been changed in place. What is asked for at its use needs no more; this decides anew. */
  settingsChanged(): void {
    this.metrics.beatPeriod(this.settings.beatMs);
    this.kick();
  }

  // --- instructions ------------------------------------------------------------------------------------

  /** Stands for the lock from now on, and waits for a tenure above `afterToken`. */
  awaitTenure(afterToken: number, limitMs: number, signal: AbortSignal): Promise<AwaitTenureResult> {
    if (!this.standingNow && !this.stoppingNow) {
      this.standingNow = true;
      this.logger.info({ reason: 'told to by the region workflow' }, 'standing for the lock');
    }
    this.kick();
    return this.subscription.wait(afterToken, this.tenureNow, limitMs, signal);
  }

  /**
   * Stops standing: the candidate key says so first, so that no later hand-over can choose this pod; one that
   * has come before is still taken up.
   */
  async standDown(why: string): Promise<void> {
    if (!this.standingNow) return;
    this.logger.info({ reason: why }, 'standing down');
    await this.exclusive(async () => {
      if (this.candidacy.leaseId) {
        this.candidacy.want(this.candidacy.state, false);
        const { view } = await this.candidacy.write();
        this.observe(view);
        const { holder } = view;
        if (!this.tenureNow && holder && holder.leaseId === this.candidacy.leaseId)
          await this.takeUp(holder, view);
      }
      this.standingNow = false;
    });
    this.subscription.end(why);
  }

  /** Gives the lock away and stops competing. The lease stays until `finish`. */
  async shutDown(why: string): Promise<void> {
    this.stoppingNow = true;
    await this.exclusive(() => this.handOver.leave(why));
    this.subscription.end(why);
  }

  /** Deletes this pod's keys. Only after its listener is dead. */
  async finish(): Promise<void> {
    this.closed = true;
    this.reconciler.close();
    if (this.refreshTimer) clearTimeout(this.refreshTimer);
    if (this.headStartTimer) clearTimeout(this.headStartTimer);
    this.watch?.close();
    const leaseId = this.candidacy.leaseId;
    this.candidacy.abandon();
    if (leaseId) await this.store.revokeLease(leaseId);
  }

  // --- for the instructions' code --------------------------------------------------------------------

  /** Runs `work` when nothing else that writes is under way. */
  exclusive<T>(work: () => Promise<T>): Promise<T> {
    return this.reconciler.exclusive(work);
  }

  /** Takes note of a view; acts at once when it shows that a running tenure is lost. A `hint` is new in `holder` only. */
  observe(view: LockView, hint = false): void {
    if (this.viewNow && view.revision < this.viewNow.revision) return;
    const wasPaused = this.viewNow?.paused ?? null;
    this.viewNow = view;
    this.audit?.noteView(view);
    this.noteWhetherFree(view);
    if (view.holder === null) this.vacantSinceMs ??= performance.now();
    else if (view.holder.pod !== this.identity.pod) this.vacantSinceMs = null;
    this.metrics.flapping(view.flap.tripped !== null);
    for (const look of this.viewWatchers) look();
    if ((wasPaused === null) !== (view.paused === null))
      this.subscription.end(
        view.paused ? `paused by ${view.paused.who}: ${view.paused.why}` : 'not paused any more',
      );
    const tenure = this.tenureNow;
    // An idle tenure is in the hands of an instruction, which finds out by its own transaction.
    const isLost = tenure && tenure.phase !== 'idle' && !this.carries(view.holder, tenure);
    if (isLost && !tenure.isHandedOverIn(view, hint)) {
      const holder = view.holder ? `${view.holder.region}/${view.holder.pod}` : 'nobody';
      this.endTenure(tenure, 'lost', `etcd shows ${holder} as holder`);
    }
    this.kick();
  }

  /** Whether such a view came within the limit. */
  untilView(matches: (view: LockView) => boolean, limitMs: number): Promise<boolean> {
    return new Promise((resolve) => {
      const end = (found: boolean): void => {
        clearTimeout(timer);
        this.viewWatchers.delete(look);
        resolve(found);
      };
      const look = (): void => {
        if (this.viewNow && matches(this.viewNow)) end(true);
      };
      const timer = setTimeout(() => end(false), limitMs);
      this.viewWatchers.add(look);
      look();
    });
  }

  /** The spare consumes ahead while its new token is being put. */
  prepareSpare(afterToken: number): void {
    this.prepare(null, afterToken);
  }

  /** Starts the warm listener for the tenure that `holder` describes, if it may be started. */
  begin(holder: HolderKey, receipt: Receipt | null): RunningTenure | null {
    const obstacle = this.whyNotBegin(holder);
    const process = this.listeners.current;
    const extension = this.candidacy.confirmed;
    if (obstacle || !process || !extension) {
      this.logger.error({ token: holder.token, reason: obstacle }, 'tenure not started');
      return null;
    }
    this.highestToken = holder.token;
    const tenure: Tenure = {
      lock: this.lock,
      region: this.identity.region,
      pod: this.identity.pod,
      leaseId: holder.leaseId,
      token: holder.token,
      since: holder.since,
    };
    const running = new RunningTenure(
      tenure,
      process,
      this.settings,
      extension,
      receipt,
      () => this.endTenure(running, 'deadline', 'no confirmed extension before the deadline'),
      this.takeOver.began(holder.token, receipt),
    );
    this.tenureNow = running;
    this.failures.begin(process.statsOf(this.lock) ?? { processed: 0, failed: 0 }, performance.now());
    const { consuming, firstMessageAt } = this.preparation.take(process, holder.token);
    running.consuming = consuming;
    if (consuming) this.noteWorking(running);
    if (firstMessageAt !== null) this.onFirstMessage(running, firstMessageAt);
    this.listeners.hold(this.lock);
    this.metrics.tenure('start');
    this.audit?.noteTenure('start', holder.token, receipt?.why ?? 'etcd shows this pod as holder');
    this.metrics.holding(holder.token);
    // The workflow hears of it after the first message: what it then sets in motion must not delay that.
    const quiet = Promise.race([running.worked, sleep(announceDelayMs)]);
    void quiet
      .then(() => this.attachReceipt(running))
      .finally(() => {
        const { token, receipt: known } = running;
        this.logger.info({ token, cause: known?.cause, reason: known?.why }, 'holding the lock');
        this.subscription.announce(running);
      });
    return running;
  }

  /**
   * The tenure is over in this pod. Kills the listener unless nothing of the tenure runs in it any more. The
   * holder key, where it is still ours, is deleted by the next reconciliation, after the listener's exit.
   */
  endTenure(running: RunningTenure, event: 'lost' | 'deadline' | 'hand_over' | 'release', why: string): void {
    const wasIdle = running.phase === 'idle';
    if (!running.end(why)) return;
    if (this.tenureNow === running) this.tenureNow = null;
    if (wasIdle) running.process.end(this.lock, running.token);
    else this.dying = running.process.kill(`${killedForLoss} ${running.token} of ${this.lock}: ${why}`);
    this.listeners.letGo(this.lock);
    this.metrics.tenure(event);
    this.metrics.notHolding();
    this.takeOver.end(why);
    this.audit?.noteTenure(event, running.token, why);
    const line = { token: running.token, event, reason: why };
    if (event === 'lost' || event === 'deadline') this.logger.warn(line, 'tenure ended');
    else this.logger.info(line, 'tenure ended');
    if (performance.now() - running.startedAtMs > steadyTenureMs) this.giveUps = 0;
    // Of a hand-over that the workflow ordered, it hears by the answer.
    if (event !== 'hand_over' || this.stoppingNow) this.tellTenureEnded(running.token, why);
    this.kick();
  }

  tellTenureEnded(token: number, why: string): void {
    this.notices.tenureEnded(this.lock, token, why);
  }

  /** The same holder goes on under the token it has just won, in the listener that took the dead one's place. */
  beginAnew(running: RunningTenure, holder: HolderKey, receipt: Receipt): void {
    running.end(`replaced by token ${holder.token}`);
    this.tenureNow = null;
    this.metrics.tenure('restart');
    if (this.begin(holder, receipt)) return;
    this.listeners.letGo(this.lock);
    this.metrics.notHolding();
    this.tellTenureEnded(running.token, 'the spare listener could not be started');
    this.kick();
  }

  /** This pod must not win the lock again at once. Longer each time. */
  backOff(): void {
    const backoffMs = Math.min(firstBackoffMs * 2 ** this.giveUps++, maxBackoffMs);
    this.backoffUntilMs = performance.now() + backoffMs;
    setTimeout(() => this.kick(), backoffMs + 1).unref();
    this.logger.warn({ backoffMs, reason: 'gave the lock up' }, 'not competing for a while');
  }

  /** What the candidate key should say now. */
  wantCandidate(): void {
    const backingOff = performance.now() < this.backoffUntilMs;
    const state = this.stoppingNow
      ? 'draining'
      : backingOff
        ? 'unhealthy'
        : this.listeners.readiness(this.lock);
    const { preparedFor } = this.preparation;
    const notes = preparedFor === undefined ? {} : { preparedFor };
    const steppedBack = backingOff || this.stoppingNow || this.cordon !== null || this.isNeverActive;
    this.candidacy.want(state, this.standingNow && !steppedBack, notes);
    this.metrics.candidateReady(state === 'ready');
  }

  attempt(outcome: Attempt['outcome'], why: string): void {
    this.subscription.record({ at: new Date().toISOString(), pod: this.identity.pod, outcome, why });
    this.metrics.acquisition(outcome);
    this.logger.info({ outcome, reason: why }, 'acquisition attempt');
  }

  /** Why this pod may not take the lock from anybody else now, or `null`. */
  whyNotTakeOver(): string | null {
    const { cordon } = this;
    if (this.isNeverActive) return 'its region may never be active (preference.never)';
    return cordon ? `its region is cordoned by ${cordon.who}: ${cordon.why}` : this.whyNotReady();
  }

  /** Why it cannot work under a tenure, or `null`. */
  whyNotReady(): string | null {
    if (this.stoppingNow) return 'is shutting down';
    if (performance.now() < this.backoffUntilMs) return 'gave the lock up a moment ago and backs off';
    if (!this.candidacy.leaseId) return 'has no lease in etcd';
    if (!this.listeners.isReady(this.lock)) return this.listeners.whyNotReady(this.lock);
    if (this.remainingMs() <= 0) return 'its lease has no confirmed extension in time';
    return null;
  }

  // --- level-triggered part ----------------------------------------------------------------------------

  /** Something has changed: compare, and act on the difference. */
  kick(): void {
    this.reconciler.kick();
  }

  private onReconcileError(error: unknown): void {
    if (error instanceof LostError) this.loseLease(error.message);
    else if (error instanceof UnknownOutcomeError)
      this.logger.warn({ reason: error.message }, 'etcd did not answer; trying again');
    else if (error instanceof AccessError)
      this.logger.warn({ reason: error.message }, 'etcd does not let this pod in; trying again');
    else this.logger.error({ err: error }, 'reconciliation failed unexpectedly');
  }

  private async reconcileOnce(): Promise<void> {
    if (!this.tenureNow && this.viewNow) await this.followOffer(this.viewNow);
    this.wantCandidate();
    if (!this.candidacy.leaseId) return this.openLease();
    const view = this.viewNow ?? (await this.store.read());
    this.viewNow ??= view;
    const { holder } = view;
    if (!this.tenureNow && holder && holder.leaseId === this.candidacy.leaseId) {
      await this.dying;
      if (this.viewNow === view) await this.takeUp(holder, view);
      else this.kick();
      return;
    }
    if (this.tenureNow) await this.leaveWhenUnhealthy(this.tenureNow);
    // A holder changes its own candidate key only where the instructions' code does.
    if (!this.candidacy.isWritten && !this.tenureNow) this.observe((await this.candidacy.write()).view);
    if (!this.tenureNow) await this.compete();
  }

  /** The holder is about to hand over to this pod: consume ahead, for as long as it is. */
  private async followOffer(view: LockView): Promise<void> {
    const { holder } = view;
    if (holder && holder.leaseId === this.candidacy.leaseId) return;
    const { region, pod } = this.identity;
    const offer = view.candidates.find((key) => key.leaseId === holder?.leaseId)?.offer;
    const isForUs = offer?.region === region && offer.pod === pod;
    if (!offer || !isForUs || !this.standingNow || this.whyNotTakeOver() !== null) return this.unprepare();
    // Nothing of a former tenure may run beside what is about to begin.
    await this.dying;
    this.prepare(offer.id, this.highestToken, this.takeOver.offered(offer));
  }

  private unprepare(): void {
    if (!this.preparation.isActive) return;
    this.takeOver.end('the offer was taken back');
    this.dying = Promise.all([this.dying, this.preparation.drop()]);
  }

  private prepare(offerId: string | null, afterToken: number, trace?: TraceContext): void {
    const process = this.listeners.current;
    const { leaseId, confirmed } = this.candidacy;
    if (!process || !leaseId || !confirmed) return;
    const deadlineNs = deadlineOf(confirmed, this.settings.deadlineMarginMs);
    this.preparation.begin(process, {
      offerId,
      leaseId,
      afterToken,
      deadlineNs,
      ...(trace && { trace }),
    });
  }

  /** The listener was faster than the watch: `holder` must be on its way. */
  private onStartedAhead(process: ListenerProcess, token: number): void {
    if (this.tenureNow?.process === process && this.tenureNow.token === token) return;
    if (this.preparation.noteStarted(process, token)) return this.refreshSoon();
    this.dying = process.kill(`began token ${token}, for which it was no longer prepared`);
  }

  /** For the metric: from nobody at work to this pod at work. A handed-over lock was never vacant. */
  private noteWorking({ receipt }: RunningTenure): void {
    this.takeOver.working();
    if (this.vacantSinceMs !== null && receipt && receipt.cause !== 'first')
      this.metrics.recovered(receipt.cause, performance.now() - this.vacantSinceMs);
    this.vacantSinceMs = null;
  }

  private onFirstMessage(tenure: RunningTenure, startedAt: number): void {
    tenure.noteFirstMessage();
    this.noteWorking(tenure);
    void this.completeReceipt(tenure, startedAt);
  }

  /** The listener cannot work: after the limit the lock goes to a candidate that can, if there is one. */
  private async leaveWhenUnhealthy(running: RunningTenure): Promise<void> {
    if (this.listeners.readiness(this.lock) !== 'unhealthy') {
      this.unhealthySinceMs = null;
      return this.leaveWhenFailing(running);
    }
    const { healthLimitMs } = this.settings;
    if (this.unhealthySinceMs === null) {
      this.unhealthySinceMs = performance.now();
      setTimeout(() => this.kick(), healthLimitMs + 1).unref();
    }
    if (performance.now() - this.unhealthySinceMs < healthLimitMs) return;
    await this.handOver.toHealthy(
      running,
      `its listener is unhealthy: ${this.listeners.whyNotReady(this.lock)}`,
    );
  }

  /** Its handler fails too often here: perhaps what it needs is there in another region. */
  private async leaveWhenFailing(running: RunningTenure): Promise<void> {
    const stats = running.process.statsOf(this.lock);
    if (!stats || stats.token !== running.token) return;
    this.failures.note(stats, performance.now());
    const { why } = this.failures;
    if (why === null) return;
    this.failures.begin(stats, performance.now());
    await this.handOver.toHealthy(running, why);
  }

  private async openLease(): Promise<void> {
    if (this.lostLeaseId) {
      // No new lease while the old one may still carry `holder`.
      await this.dying;
      await this.store.revokeLease(this.lostLeaseId);
      this.lostLeaseId = null;
    }
    await this.registering.execute(async () => {
      this.viewNow = null;
      this.observe(await this.candidacy.open());
      // Its answer makes room for the next lock.
      await this.candidacy.extend();
    });
    this.logger.info(
      { leaseId: this.candidacy.leaseId, state: this.candidacy.state },
      'candidate registered',
    );
  }

  /** `holder` is on this pod's lease and no tenure runs: start it, or delete it. */
  private async takeUp(holder: HolderKey, view: LockView): Promise<void> {
    if (this.remainingMs() <= 0) await this.candidacy.extend();
    const receipt = view.last?.modRevision === holder.token ? view.last.receipt : null;
    if (this.whyNotBegin(holder) === null) {
      if (this.begin(holder, receipt))
        this.attempt('won', `etcd shows this pod as holder, with token ${holder.token}`);
      return;
    }
    this.logger.warn({ token: holder.token, reason: this.whyNotBegin(holder) }, 'deleting the holder key');
    // It may have seen the holder key before, and begun.
    if (this.preparation.isActive) await this.listeners.current?.kill('its tenure may not begin');
    // Won, and yet not above the tokens seen here: etcd has gone back, and would hand out the same again.
    if (holder.token < this.highestToken) this.backOff();
    // Without an answer it may be applied at any later time: this token is never begun any more.
    this.highestToken = Math.max(this.highestToken, holder.token);
    const result = await this.store.deleteHolder(holder.token);
    this.observe(result.view);
  }

  private async compete(): Promise<void> {
    const view = this.viewNow;
    if (!view || view.holder || !this.standingNow) return;
    if (this.remainingMs() <= 0) await this.candidacy.extend();
    if (this.viewNow !== view) return this.kick();
    if (this.whyNotTakeOver() !== null || this.leavesHeadStart(view)) return;
    const stay = changesByItself(view, this.identity.region) ? await this.whyStay(view) : null;
    if (stay !== null) {
      this.attempt('refused', stay);
      return this.reconciler.rest();
    }
    let result;
    try {
      result = await this.store.changeHolder({
        id: randomUUID(),
        view,
        to: { region: this.identity.region, pod: this.identity.pod },
        cause: view.last ? 'takeover' : 'first',
        why: view.last ? this.whyTakeover(view.last.receipt) : 'nobody has held the lock before',
        by: this.identity.pod,
      });
    } catch (error) {
      if (!mayPass(error)) throw error;
      this.attempt('unknown', error.message);
      // The transaction compares the candidate key: once that is written again it can no longer be applied,
      // and what etcd shows then is what happened.
      this.observe((await this.candidacy.write()).view);
      return;
    }
    if (result.outcome === 'applied') {
      // A later view can have come first, from the watch.
      if (this.viewNow && this.viewNow.revision > result.view.revision) return this.kick();
      this.viewNow = result.view;
      this.noteWhetherFree(result.view);
      const { holder } = result.view;
      if (holder && this.begin(holder, result.receipt)) this.attempt('won', result.receipt.why);
      return;
    }
    this.attempt(result.view.holder ? 'lost' : 'refused', result.why);
    this.observe(result.view);
    // Refused by the policy, without asking etcd: only an event can change that.
    if (result.view === view) this.reconciler.rest();
  }

  private get isNeverActive(): boolean {
    return this.settings.preference.never.includes(this.identity.region);
  }

  private noteWhetherFree({ holder, paused, blocked, successor }: LockView): void {
    const reserved = successor !== null && successor.region !== this.identity.region;
    if (holder || paused || blocked || reserved) this.freeSinceMs = null;
    else this.freeSinceMs ??= performance.now();
  }

  /** Regions that come first have a moment to take the free lock. It never keeps this pod from it for longer. */
  private leavesHeadStart(view: LockView): boolean {
    this.noteWhetherFree(view);
    if (this.freeSinceMs === null) return false;
    const before = regionsBefore(view, this.identity.region, this.settings.preference);
    const leftMs = this.freeSinceMs + before.length * headStartMs - performance.now();
    if (leftMs <= 0) return false;
    if (!this.headStartTimer) {
      this.logger.info(
        { regions: before, reason: `a head start of ${Math.ceil(leftMs)} ms` },
        'not yet competing',
      );
      this.headStartTimer = setTimeout(() => {
        this.headStartTimer = null;
        this.kick();
      }, leftMs + 1);
    }
    return true;
  }

  /** Why the lock may not change its region by itself any more, until somebody has looked; or `null`. */
  async whyStay(view: LockView): Promise<string | null> {
    const { tripped } = view.flap;
    if (tripped) return `stays in its region until baton ack: ${tripped.why}`;
    const why = await readWhyStay(this.store, view, this.settings.maxChangesPerHour);
    if (why === null) return null;
    await this.store.trip(this.identity.pod, why);
    this.logger.error({ reason: why }, 'no more automatic changes until baton ack');
    return `stays in its region until baton ack: ${why}`;
  }

  private whyTakeover(last: Receipt): string {
    return last.to
      ? `the lock became free: ${last.to.region}/${last.to.pod} with token ${last.to.token} no longer holds it`
      : `the lock was released: ${last.why}`;
  }

  private whyNotBegin(holder: HolderKey): string | null {
    if (holder.token <= this.highestToken)
      return `token ${holder.token} is not above ${this.highestToken}, the highest one seen here`;
    if (this.stoppingNow) return 'the pod is shutting down';
    if (!this.standingNow) return 'the pod does not stand for the lock';
    return this.whyNotReady();
  }

  /** Brings the metrics up to date that no event changes. */
  report(): void {
    if (this.tenureNow) this.metrics.margin(this.tenureNow.marginMs);
    this.metrics.beatAge();
    this.metrics.standby(this.whyNotStandby() === null);
  }

  /** Why its listener has not yet said whether it can work, or `null`, and then for good. */
  whyNotStarted(): string | null {
    this.hasStarted ||= this.listeners.readiness(this.lock) !== 'warming';
    return this.hasStarted ? null : this.listeners.whyNotReady(this.lock);
  }

  /** Why this pod could not take the lock over at once, or `null`. */
  whyNotStandby(): string | null {
    if (this.tenureNow) return `holds the lock with token ${this.tenureNow.token}`;
    return this.whyNotTakeOver() ?? (this.standingNow ? null : 'does not stand for the lock');
  }

  /** Why this pod may not be taken for the one that works, or `null`. */
  whyNotHolder(): string | null {
    const running = this.tenureNow;
    if (!running) return 'does not hold the lock';
    if (!running.isValid()) return `the deadline of token ${running.token} has passed`;
    if (running.phase === 'idle')
      return `token ${running.token} is drained, or its listener is being replaced`;
    return running.consuming ? null : `holds token ${running.token}, and does not consume yet`;
  }

  /** ms until the deadline that the last confirmed extension gives, 0 without one. */
  get marginMs(): number {
    return Math.max(0, this.remainingMs());
  }

  private remainingMs(): number {
    const extension = this.candidacy.confirmed;
    const marginMs = this.settings.deadlineMarginMs;
    // The machine was suspended since: the monotonic clock has not seen the lease run.
    if (!extension || Math.abs(suspendedMs(extension.sent)) > marginMs / 2) return 0;
    return msUntil(deadlineOf(extension, marginMs));
  }

  private carries(holder: HolderKey | null, tenure: RunningTenure): boolean {
    return holder !== null && holder.token === tenure.token && holder.leaseId === tenure.tenure.leaseId;
  }

  private onHint(hint: WatchHint): void {
    if (this.closed) return;
    const view = this.viewNow;
    // The event itself tells a loss or a hand-over one round trip before the read does.
    if (view && hint.holder !== undefined && hint.revision > view.revision)
      this.observe({ ...view, holder: hint.holder, revision: hint.revision }, true);
    if (hint.offering) {
      void this.refresh();
      return;
    }
    this.refreshSoon();
  }

  /** Not urgent, and changes come in groups: one read for all of them. */
  private refreshSoon(): void {
    this.refreshTimer ??= setTimeout(() => {
      this.refreshTimer = null;
      if (!this.closed) void this.refresh();
    }, refreshDelayMs);
  }

  /** Reads the lock anew; without an answer the next event, extension or retry does. */
  async refresh(): Promise<LockView | null> {
    try {
      const view = await this.store.read();
      this.observe(view);
      return view;
    } catch (error) {
      this.logger.debug({ err: error }, 'read after a watch event failed');
      return null;
    }
  }

  /** The lease is gone: so is every key on it, and with them the tenure. */
  loseLease(why: string): void {
    this.lostLeaseId = this.candidacy.leaseId ?? this.lostLeaseId;
    this.candidacy.abandon();
    this.unprepare();
    if (this.tenureNow) this.endTenure(this.tenureNow, 'lost', why);
    this.kick();
  }

  private onListenerExit(process: ListenerProcess, why: string): void {
    this.preparation.noteExit(process);
    const running = this.tenureNow;
    if (!running || running.process !== process) return;
    running.becomeIdle();
    this.vacantSinceMs = performance.now();
    this.metrics.tenure('listener_exit');
    this.logger.warn({ token: running.token, reason: why }, 'listener exited during a tenure');
    this.exclusive(() => this.handOver.restartInPlace(running, why)).catch((error: unknown) =>
      this.logger.error({ err: error, token: running.token }, 'restart in place failed'),
    );
  }

  /** A tenure begun on a watch event has its receipt in etcd, not yet in hand. */
  private async attachReceipt(running: RunningTenure): Promise<void> {
    if (running.receipt) return;
    const view = await this.refresh();
    if (view?.last?.modRevision !== running.token) return;
    running.receipt = view.last.receipt;
    this.takeOver.named(running.token, running.receipt);
  }

  private async completeReceipt(running: RunningTenure, startedAt: number): Promise<void> {
    try {
      await this.attachReceipt(running);
      if (!running.receipt) throw new Error('its receipt was not found');
      const at = new Date(startedAt).toISOString();
      running.receipt = (await this.store.completeReceipt(running.receipt.id, at)) ?? running.receipt;
      this.audit?.noteCompleted(running.receipt);
      const { cause, id, from, to, drained, gapMs } = running.receipt;
      this.metrics.receipt(cause);
      this.metrics.gap(cause, gapMs);
      this.logger.info(
        { token: running.token, receipt: id, cause, from, to, drained, gapMs, reason: running.receipt.why },
        'receipt complete',
      );
      await this.store.trimReceipts(keptReceipts);
    } catch (error) {
      this.logger.warn({ err: error, token: running.token }, 'receipt not completed');
    }
  }
}
