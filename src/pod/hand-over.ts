import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { LostError, mayPass, UnknownOutcomeError } from '../../activities/errors';
import type {
  DrainAndHandOverInput,
  HandOverOutcome,
  Party,
  Receipt,
  ReleaseLockInput,
  ReleaseOutcome,
} from '../../workflows/contract';
import type { TraceContext } from '../../workflows/trace-context';
import { figuresOf } from '../listener/protocol';
import type { SpanHandle, SpanOptions } from '../telemetry/tracing';
import type { LockAgent } from './lock-agent';
import type {
  CandidateKey,
  ChangeAnswer,
  ChangeResult,
  DrainFigures,
  HolderChange,
  LockView,
  Offer,
} from './lock-store';
import { byPreference } from './region-preference';
import type { RunningTenure } from './running-tenure';

/** For one target to say that it consumes ahead, and for all of them. */
const offerLimitMs = 2_000;
const offersLimitMs = 4_000;
/** Attempts at one change whose compares a concurrent change made fail. */
const maxAttempts = 5;
/** Pause before an unanswered request is settled. */
const settlePauseMs = 100;
/** A second listener exit within this time gives the lock up. */
const repairWindowMs = 60_000;
/** For so long only the named successor may acquire. */
const successorWindowMs = 5_000;
const keptOutcomes = 50;
/** For the workflows, before a hand-over that they ordered and after it. */
const quietMs = 100;
/** How the reason begins for which a listener was killed because a tenure in it was lost. */
export const killedForLoss = 'killed with tenure';

type AskedChange = Omit<HolderChange, 'view' | 'to' | 'by'> & {
  to: Party | CandidateKey | PodName;
  by?: string;
};

/** What the listener, when it was drained, sent by itself, and what came of it. */
interface Attempted {
  request: HolderChange;
  answer: ChangeAnswer;
  /** When it was drained, and sent it. */
  drainedAt: number;
}

interface Drained {
  figures: DrainFigures;
  attempted: Attempted | null;
}

/** What came of trying to put `holder`. Never "perhaps": an unanswered transaction has been settled. */
type Definite =
  | { outcome: 'applied'; receipt: Receipt; view: LockView }
  /** The tenure is still ours; the change can no longer be applied. */
  | { outcome: 'refused'; why: string; view: LockView }
  /** Another change came first, or the lease is gone. */
  | { outcome: 'lost'; why: string };

/**
 * How a tenure leaves this pod or its listener: handed over, released, given up, or begun anew in place. One
 * at a time, through the lock agent's `exclusive`. An unanswered transaction is settled by a conflicting
 * write before anything else happens.
 */
export class HandOver {
  /** Answers by switch id: the same question gets the same answer. */
  private readonly outcomes = new Map<string, Promise<HandOverOutcome>>();
  private lastRepairMs = -Infinity;

  constructor(private readonly agent: LockAgent) {}

  /** Drains and hands over to the first target that can take the lock, else goes on under the same token. */
  toTargets(input: DrainAndHandOverInput): Promise<HandOverOutcome> {
    const known = this.outcomes.get(input.switchId);
    if (known) return known;
    const outcome = this.agent
      .exclusive(() => this.handOverOnce(input))
      .then(async (done) => {
        // The workflows' work that the answer sets in motion can wait until the successor has begun its own.
        if (done.outcome === 'handed-over') await sleep(quietMs);
        else if (done.outcome !== 'resumed')
          this.agent.logger.warn({ switchId: input.switchId, reason: done.why }, `hand-over ${done.outcome}`);
        return done;
      });
    this.outcomes.set(input.switchId, outcome);
    // A question without an answer may be asked again.
    outcome.catch(() => this.outcomes.delete(input.switchId));
    if (this.outcomes.size > keptOutcomes) this.outcomes.delete([...this.outcomes.keys()][0] as string);
    return outcome;
  }

  /** Drains and deletes `holder`; with `towards` only that region may acquire for a short window. */
  async release(input: ReleaseLockInput): Promise<ReleaseOutcome> {
    return this.agent.exclusive(async () => {
      const running = this.agent.tenure;
      if (running?.token !== input.tenure.token) {
        const receipt = await this.agent.store.readReceipt(input.switchId);
        if (receipt) return { outcome: 'released', receipt };
        return { outcome: 'lost', why: `this pod does not hold token ${input.tenure.token}` };
      }
      return this.orEnd(running, async () => {
        await this.markDraining(running);
        const { figures } = await this.drain(running);
        const { switchId: id, reason: why, by, towards: region } = input;
        const towards = region ? { towards: { region, windowMs: successorWindowMs } } : {};
        return this.releaseUntilDefinite(running, { id, why, by, ...figures, ...towards });
      });
    });
  }

  /** SIGTERM: to a ready pod of the own region, also while paused, else of any, else released. */
  async leave(why: string): Promise<void> {
    const { agent } = this;
    const running = agent.tenure;
    if (running)
      return this.span('hand over', { attributes: { 'baton.reason': why } }, ({ context }) =>
        this.orEnd(running, () => this.leaveTenure(running, why, context)),
      );
    if (!agent.candidacy.leaseId) return;
    agent.wantCandidate();
    const { view } = await agent.candidacy.write();
    // Handed over to this pod in the last moment: the lock goes with the lease, once no listener is left.
    if (view.holder?.leaseId === agent.candidacy.leaseId) await agent.listeners.current?.kill(why);
  }

  /** The listener cannot reach its broker: to a pod that can, if there is one. Else it stays. */
  async toHealthy(running: RunningTenure, why: string): Promise<void> {
    const { agent } = this;
    const targets = await this.allowedTargets(agent.view);
    if (agent.tenure !== running || running.phase !== 'running') return;
    if (targets.length === 0) {
      const stays = `${why}; it stays, as no other candidate may take over`;
      const { pod } = agent.identity;
      agent.subscription.record({ at: new Date().toISOString(), pod, outcome: 'refused', why: stays });
      return;
    }
    const { tenure } = running;
    const stamp = { lock: agent.lock, seq: 0, tenure };
    const switchId = randomUUID();
    await this.handOverOnce({ ...stamp, switchId, targets, reason: why, by: agent.identity.pod });
    // The workflow did not order it, so nobody waits for the answer.
    if (agent.tenure !== running) agent.tellTenureEnded(running.token, why);
  }

  /** By itself the lock leaves its region only so often. */
  private async allowedTargets(view: LockView | null): Promise<CandidateKey[]> {
    const { region } = this.agent.identity;
    const all = this.otherCandidates(view);
    if (!view || all.every((key) => key.region === region)) return all;
    const stay = await this.agent.whyStay(view);
    return stay === null ? all : all.filter((key) => key.region === region);
  }

  private async leaveTenure(running: RunningTenure, why: string, trace?: TraceContext): Promise<void> {
    const { agent } = this;
    const id = randomUUID();
    await agent.refresh();
    const prepared = await this.offer(running, id, this.otherCandidates(agent.view), trace);
    if (!prepared) await this.markDraining(running);
    const asked = { cause: 'shutdown' as const, why, ...(trace && { trace }) };
    const drained = await this.drain(running, trace, prepared && { ...asked, id, to: prepared });
    const others = this.otherCandidates(agent.view).filter(({ pod }) => pod !== prepared?.pod);
    for (const to of prepared ? [prepared, ...others] : others) {
      const change = { ...asked, id: to === prepared ? id : randomUUID(), to };
      const result = await this.put(running, change, drained);
      if (result.outcome === 'applied') {
        agent.endTenure(running, 'hand_over', `handed over to ${to.region}/${to.pod}: ${why}`);
        agent.observe(result.view);
        return;
      }
      if (result.outcome === 'lost') {
        agent.endTenure(running, 'lost', result.why);
        return;
      }
      agent.logger.info({ token: running.token, to: to.pod, reason: result.why }, 'hand-over refused');
    }
    const release = { id: randomUUID(), why, by: agent.identity.pod };
    await this.releaseUntilDefinite(running, { ...release, ...drained.figures });
  }

  /** The listener died in a valid tenure: go on in the spare under a new token, or give the lock up. */
  async restartInPlace(running: RunningTenure, why: string): Promise<void> {
    const { agent } = this;
    if (running.phase === 'ended' || agent.tenure !== running) return;
    return this.span('restart listener', { attributes: { 'baton.reason': why } }, ({ context }) =>
      this.orEnd(running, () => this.restart(running, why, context)),
    );
  }

  private async restart(running: RunningTenure, why: string, trace?: TraceContext): Promise<void> {
    const { agent } = this;
    const obstacle = await this.whyNoRestart(running);
    if (obstacle) return this.giveUp(running, `${why}; ${obstacle}`);
    agent.prepareSpare(running.token);
    const result = await this.put(running, {
      id: randomUUID(),
      to: agent.identity,
      cause: 'listener-restart',
      why,
      ...(trace && { trace }),
    });
    if (result.outcome === 'lost') return agent.endTenure(running, 'lost', result.why);
    if (result.outcome === 'refused') return this.giveUp(running, `${why}; ${result.why}`);
    // Killed for another lock's sake, it says nothing about this one.
    if (!why.startsWith(killedForLoss)) this.lastRepairMs = performance.now();
    const { holder } = result.view;
    if (holder === null || holder.leaseId !== agent.candidacy.leaseId)
      return agent.endTenure(running, 'lost', 'etcd shows another holder');
    agent.beginAnew(running, holder, result.receipt);
    agent.observe(result.view);
  }

  private async handOverOnce(input: DrainAndHandOverInput): Promise<HandOverOutcome> {
    const { agent } = this;
    const done = await this.recordedOutcome(input.switchId);
    if (done) return done;
    const running = agent.tenure;
    if (running?.token !== input.tenure.token)
      return { outcome: 'lost', why: `this pod does not hold token ${input.tenure.token}` };
    if (await agent.store.isAborted(input.switchId))
      return { outcome: 'refused', why: `switch ${input.switchId} was aborted` };
    agent.logger.info(
      { token: running.token, switchId: input.switchId, to: input.targets, reason: input.reason },
      'draining',
    );
    const attributes = { 'baton.switch_id': input.switchId, 'baton.token': running.token };
    return this.span('hand over', { parent: input.trace, attributes }, async (span) => {
      const traced = { ...input, ...(span.context && { trace: span.context }) };
      const result = await this.orEnd(running, () => this.drainAndHandOver(running, traced));
      span.set({ 'baton.outcome': result.outcome });
      if (result.outcome !== 'handed-over') span.fail(result.why);
      return result;
    });
  }

  private span<T>(name: string, options: SpanOptions, work: (span: SpanHandle) => Promise<T>): Promise<T> {
    const { lock, identity, takeOver } = this.agent;
    const own = { 'baton.lock': lock, 'baton.region': identity.region, 'baton.pod': identity.pod };
    return takeOver.tracing.span(name, { ...options, attributes: { ...own, ...options.attributes } }, work);
  }

  /** Where etcd does not answer, the hand-over's own transaction will find out. */
  private wasAborted(switchId: string): Promise<boolean> {
    return this.agent.store.isAborted(switchId).catch(() => false);
  }

  private async drainAndHandOver(
    running: RunningTenure,
    input: DrainAndHandOverInput,
  ): Promise<HandOverOutcome> {
    const { agent } = this;
    // The workflows' work that led here is not done yet, and would take the processor from the hand-over.
    await sleep(quietMs);
    const { trace } = input;
    const prepared = await this.offer(running, input.switchId, input.targets, trace);
    const names = input.targets.map(({ region, pod }) => `${region}/${pod}`).join(', ') || 'nobody';
    if (!prepared) return this.resume(running, `none of the targets answered the offer (${names})`);
    if (await this.wasAborted(input.switchId))
      return this.resume(running, `switch ${input.switchId} was aborted`);
    agent.metrics.tenure('drain');
    const { switchId: id, reason: why, by, answers } = input;
    const asked = {
      ...{ id, cause: 'switch' as const, why, by },
      ...(answers && { answers }),
      ...(trace && { trace }),
    };
    const drained = await this.drain(running, trace, { ...asked, to: prepared });
    const refusals: string[] = [];
    for (const to of preparedFirst(input.targets, prepared)) {
      const result = await this.put(running, { ...asked, to }, drained);
      if (result.outcome === 'applied') {
        agent.endTenure(running, 'hand_over', `handed over to ${to.region}/${to.pod}: ${why}`);
        agent.observe(result.view);
        return { outcome: 'handed-over', receipt: result.receipt };
      }
      if (result.outcome === 'lost') {
        agent.endTenure(running, 'lost', result.why);
        return { outcome: 'lost', why: result.why };
      }
      refusals.push(`${to.region}/${to.pod}: ${result.why}`);
    }
    return this.resume(running, `hand-over refused: ${refusals.join('; ') || 'no target'}`);
  }

  /** Every target refused: consume again, under the same token where the listener survived the drain. */
  private async resume(running: RunningTenure, why: string): Promise<HandOverOutcome> {
    const { agent } = this;
    agent.candidacy.want('ready', agent.standing);
    const result = await this.untilAnswered(running, () => agent.candidacy.write(running.token));
    if (result?.outcome !== 'applied' || running.phase === 'ended') {
      agent.endTenure(running, 'lost', 'etcd shows another holder');
      return { outcome: 'lost', why: `${why}; then the tenure was lost` };
    }
    if (running.process.isAlive && running.isValid()) {
      // Without a drain it has never stopped.
      if (running.phase === 'idle') running.resume();
      agent.observe(result.view);
      agent.logger.warn({ token: running.token, reason: why }, 'consuming again under the same token');
    } else if (running.process.isAlive) {
      // A new token while it works on under the old one would be two at a time.
      agent.endTenure(running, 'deadline', 'the deadline passed before the hand-over was undone');
      return { outcome: 'lost', why: `${why}; then the deadline passed` };
    } else {
      await this.restartInPlace(running, 'its listener did not survive the drain');
    }
    return { outcome: 'resumed', why };
  }

  /** Ready and standing, those of the own region first, then by the configured order. */
  private otherCandidates(view: LockView | null): CandidateKey[] {
    const { identity, settings } = this.agent;
    const others = (view?.candidates ?? []).filter(
      (key) => key.state === 'ready' && key.standing && key.pod !== identity.pod,
    );
    return byPreference(others, identity.region, settings.preference);
  }

  /** An error that no code here expects must not leave a drained tenure behind that nobody works under. */
  private async orEnd<T>(running: RunningTenure, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      this.agent.endTenure(running, 'lost', `leaving it failed: ${String(error)}`);
      throw error;
    }
  }

  /** The answer given before, from the receipt: also after this pod's own memory of it is gone. */
  private async recordedOutcome(switchId: string): Promise<HandOverOutcome | null> {
    const receipt = await this.agent.store.readReceipt(switchId);
    return receipt ? { outcome: 'handed-over', receipt } : null;
  }

  /**
   * Offers the lock to one target after the other, while the listener still works, until one of them consumes
   * ahead. `null`: none does. A target that is frozen, or cut off, so costs no gap.
   */
  private offer<T extends PodName>(
    running: RunningTenure,
    id: string,
    targets: readonly T[],
    trace?: TraceContext,
  ): Promise<T | null> {
    return this.span('offer', { parent: trace }, async (span) => {
      const to = await this.offerInTurn(running, id, targets, trace);
      span.set({ 'baton.to': to?.pod });
      return to;
    });
  }

  private async offerInTurn<T extends PodName>(
    running: RunningTenure,
    id: string,
    targets: readonly T[],
    trace?: TraceContext,
  ): Promise<T | null> {
    const { agent } = this;
    const giveUpAt = performance.now() + offersLimitMs;
    for (const to of targets) {
      const leftMs = Math.min(offerLimitMs, giveUpAt - performance.now());
      if (leftMs <= 0) break;
      const { region, pod } = to;
      const view = await this.markDraining(running, { id, region, pod, ...(trace && { trace }) });
      if (!view) return null;
      const target = (of: LockView) => of.candidates.find((key) => key.region === region && key.pod === pod);
      if (target(view)) {
        const change = this.requestOf({ id, to, cause: 'switch', why: 'to be ready for it' });
        running.process.rehearse(agent.lock, { ...change, view });
      }
      // One that warms up, perhaps after a drain of its own, is waited for.
      const settled = (of: LockView): boolean => {
        const { preparedFor, state } = target(of) ?? {};
        const hopeful = state === 'ready' || state === 'warming';
        return preparedFor === id || !hopeful || of.holder?.token !== running.token;
      };
      await Promise.race([agent.untilView(settled, leftMs), running.ended, running.process.exited]);
      if (running.phase === 'ended') return null;
      // A listener that has died has nothing left to drain: there is no time to lose.
      const found = agent.view ? target(agent.view) : undefined;
      if (found?.state === 'ready' && (found.preparedFor === id || !running.process.isAlive)) return to;
      agent.logger.warn({ token: running.token, to: pod }, 'the offer was not taken up');
    }
    return null;
  }

  /** So that no other pod is handed the lock by mistake, and late transactions can be told apart. */
  private async markDraining(running: RunningTenure, offer?: Offer): Promise<LockView | null> {
    const { agent } = this;
    agent.candidacy.want('draining', agent.standing && !agent.stopping, offer ? { offer } : {});
    const result = await this.untilAnswered(running, () => agent.candidacy.write(running.token));
    if (result) agent.observe(result.view);
    return result?.outcome === 'applied' ? result.view : null;
  }

  /** `change`: what the listener commits by itself as soon as it is drained. */
  private async drain(
    running: RunningTenure,
    trace?: TraceContext,
    change: AskedChange | null = null,
  ): Promise<Drained> {
    const { view } = this.agent;
    const isUsable = change && running.process.isAlive && view?.holder?.token === running.token;
    const request = isUsable ? { ...this.requestOf(change), view } : undefined;
    const began = Date.now();
    const report = await this.span('drain', { parent: trace }, async (span) => {
      const told = await running.drain(request);
      span.set({ 'baton.drained': told.drained, 'baton.requeued': told.requeued });
      span.end(told.drainedAt);
      return told;
    });
    const { drained, requeued, complete, drainedAt, handedOver } = report;
    this.agent.metrics.drained(Math.max(0, drainedAt - began));
    const reason = complete ? 'nothing is in flight any more' : 'the drain ran into its limit';
    this.agent.logger.info({ token: running.token, drained, requeued, complete, reason }, 'drained');
    const attempted = request && handedOver ? { request, answer: handedOver, drainedAt } : null;
    return { figures: figuresOf(report), attempted };
  }

  /**
   * Puts `holder`, again with the fresh view when something unrelated had changed, until it is definite. The listener's
   * own attempt at this change is the first.
   */
  private put(running: RunningTenure, change: AskedChange, drained?: Drained): Promise<Definite> {
    const own = drained?.attempted;
    const first = own?.request.id === change.id && own.request.to.pod === change.to.pod ? own : null;
    const startedAt = first ? { startedAt: first.drainedAt } : {};
    return this.span('commit', { parent: change.trace, ...startedAt }, async (span) => {
      const result = await this.putUntilDefinite(running, { ...change, ...drained?.figures }, first);
      span.set({ 'baton.to': change.to.pod, 'baton.outcome': result.outcome });
      return result;
    });
  }

  private requestOf(change: AskedChange): Omit<HolderChange, 'view'> {
    const { region, pod } = change.to;
    return { ...change, to: { region, pod }, by: change.by ?? this.agent.identity.pod };
  }

  private async putUntilDefinite(
    running: RunningTenure,
    change: AskedChange,
    first: Attempted | null,
  ): Promise<Definite> {
    const { agent } = this;
    const request = this.requestOf(change);
    let attempted = first;
    let view = attempted?.request.view ?? agent.view;
    let why = 'no view of the lock';
    for (let attempt = 0; attempt < maxAttempts; attempt++) {
      if (attempted?.answer.outcome !== 'applied' && running.phase === 'ended')
        return { outcome: 'lost', why: 'the tenure ended meanwhile' };
      if (view?.holder?.token !== running.token) view = (await agent.refresh()) ?? view;
      if (!view) continue;
      if (view.holder?.token !== running.token) return this.afterLoss(change.id, view);
      const seen = view.revision;
      try {
        const result: ChangeResult = attempted
          ? definite(attempted.answer)
          : await agent.store.changeHolder({ ...request, view });
        attempted = null;
        if (result.outcome === 'applied')
          return { outcome: 'applied', receipt: result.receipt, view: result.view };
        ({ view, why } = result);
        if (view.holder?.token === running.token && view.revision <= seen)
          return { outcome: 'refused', why, view };
      } catch (error) {
        if (!mayPass(error)) throw error;
        attempted = null;
        why = error.message;
        agent.logger.warn({ token: running.token, reason: why }, 'hand-over not answered; settling it');
        // Accepted: the unanswered one compares this key and can no longer be applied. Refused: it was.
        const settled = await this.untilAnswered(running, () => agent.candidacy.write(running.token));
        if (!settled) return { outcome: 'lost', why: `${why}; the tenure ended before it was settled` };
        view = settled.view;
        if (settled.outcome === 'refused') return this.afterLoss(change.id, view);
      }
    }
    return view
      ? { outcome: 'refused', why, view }
      : { outcome: 'lost', why: 'etcd did not show the lock before the deadline' };
  }

  /** `holder` is not the tenure's any more: by our own change, if its receipt is there. */
  private async afterLoss(changeId: string, view: LockView): Promise<Definite> {
    const ours = view.last?.receipt.id === changeId ? view.last.receipt : null;
    const receipt = ours ?? (await this.agent.store.readReceipt(changeId).catch(() => null));
    return receipt
      ? { outcome: 'applied', receipt, view }
      : { outcome: 'lost', why: 'etcd shows another holder' };
  }

  /** Repeats a request that says itself whether it still may, until there is an answer or the tenure is over. */
  private async untilAnswered<T>(running: RunningTenure, request: () => Promise<T>): Promise<T | null> {
    while (running.phase !== 'ended') {
      try {
        return await request();
      } catch (error) {
        if (error instanceof LostError) {
          this.agent.loseLease(error.message);
          return null;
        }
        if (!mayPass(error)) throw error;
        this.agent.logger.warn({ token: running.token, reason: error.message }, 'no answer; asking again');
        await sleep(settlePauseMs);
      }
    }
    return null;
  }

  private async whyNoRestart(running: RunningTenure): Promise<string | null> {
    const { agent } = this;
    if (!running.isValid()) return 'the deadline has passed';
    if (performance.now() - this.lastRepairMs < repairWindowMs)
      return `it is the second listener exit within ${repairWindowMs / 1000} s`;
    // The spare may have been forked a moment ago.
    const giveUpAt = performance.now() + agent.settings.leaseTtlMs;
    const waiting = (): boolean => running.isValid() && performance.now() < giveUpAt && !agent.stopping;
    while (waiting() && !agent.listeners.isReady(agent.lock)) await sleep(10);
    return agent.listeners.isReady(agent.lock) ? null : 'no spare listener became ready in time';
  }

  /** Deletes `holder` at once instead of letting the lease run out, and lets others win. */
  private async giveUp(running: RunningTenure, why: string): Promise<void> {
    const { agent } = this;
    agent.backOff();
    agent.wantCandidate();
    await this.releaseUntilDefinite(running, { id: randomUUID(), why, by: agent.identity.pod });
  }

  /** The listener must be idle or dead. Ends the tenure in this pod whatever etcd says. */
  private async releaseUntilDefinite(
    running: RunningTenure,
    release: {
      id: string;
      why: string;
      by: string;
      towards?: { region: string; windowMs: number };
    } & DrainFigures,
  ): Promise<ReleaseOutcome> {
    const { agent } = this;
    const result = await this.untilAnswered(running, async () => {
      for (let attempt = 0; attempt < maxAttempts; attempt++) {
        const view = await agent.store.read();
        if (view.holder?.token !== running.token) return null;
        const candidate = agent.candidacy.current();
        const answer = await agent.store.release({ ...release, view, token: running.token, candidate });
        if (answer.outcome === 'applied') return answer;
      }
      return null;
    });
    const receipt = result?.receipt ?? (await agent.store.readReceipt(release.id).catch(() => null));
    if (receipt) agent.candidacy.noteWritten();
    agent.endTenure(running, receipt ? 'release' : 'lost', release.why);
    if (result) agent.observe(result.view);
    return receipt ? { outcome: 'released', receipt } : { outcome: 'lost', why: 'etcd shows another holder' };
  }
}

function definite(answer: ChangeAnswer): ChangeResult {
  if (answer.outcome === 'unknown') throw new UnknownOutcomeError(answer.why);
  return answer;
}

interface PodName {
  region: string;
  pod: string;
}

function preparedFirst<T extends PodName>(targets: readonly T[], prepared: PodName | null): T[] {
  const isPrepared = (of: T): number => (of.region === prepared?.region && of.pod === prepared.pod ? 0 : 1);
  return targets.toSorted((a, b) => isPrepared(a) - isPrepared(b));
}
