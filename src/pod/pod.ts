import { RefusedError } from '../../activities/errors';
import type { PodPort } from '../../activities/ports';
import type {
  AwaitSuccessorInput,
  AwaitSuccessorResult,
  AwaitTenureInput,
  AwaitTenureResult,
  CrashInput,
  CrashOutcome,
  DrainAndHandOverInput,
  Force,
  ForceOutcome,
  HandOverOutcome,
  HookQuestion,
  InspectInput,
  InstructionStamp,
  LockTruth,
  Mark,
  MarkResult,
  ProbeResult,
  Receipt,
  ReleaseLockInput,
  ReleaseOutcome,
  RenewLeaseResult,
  StartListenerResult,
  SwitchAnswer,
  TenureInput,
} from '../../workflows/contract';
import type { RegionSettings } from '../config/config';
import { closeConnections } from './broker-fence';
import { whyNotCrash } from './crash-check';
import { forceRelease } from './forced-release';
import { askHook } from './hook';
import type { LockAgent } from './lock-agent';
import { lockTruth, plainMark, tenureOf } from './lock-truth';

/** `awaitTenure` answers "not yet" after this, so that the attempts made are in history. */
const awaitTenureLimitMs = 300_000;
const listenerStartLimitMs = 1_500;
const successorPollMs = 50;

/** Without a question for so long, a pod registers again: its workflow may not be running. */
const workflowSilenceMs = 10_000;
const receiptsForGaps = 100;
const keptGaps = 20;
/** A pod that was frozen between its checks and the kill knows nothing any more. */
const crashCheckLimitMs = 2_000;

/** The instructions that must come in their order: those about standing, and those that end a tenure. */
type Sequence = 'standing' | 'leaving';

/** What instructions need beside the locks. */
export interface PodMeans {
  regions: RegionSettings[];
  /** SIGKILL to all listeners and then to this process. Does not return, but in a test. */
  killSelf: () => void;
}

/**
 * A pod's locks as its activities see them. A thawed pod runs every instruction that waited for it, in any
 * order, so each is checked before it changes anything: its sequence number here, its tenure against etcd.
 */
export class Pod implements PodPort {
  private readonly highestSeq = new Map<string, number>();

  constructor(
    private readonly agents: ReadonlyMap<string, LockAgent>,
    private readonly means: PodMeans,
  ) {}

  async awaitTenure(input: AwaitTenureInput, signal: AbortSignal): Promise<AwaitTenureResult> {
    const agent = this.agent(input.lock);
    this.checkSeq(input, 'standing');
    const { afterToken, paused: believed } = input;
    // A workflow that believes otherwise is told at once.
    const outdated =
      believed !== undefined && agent.view !== null && believed !== (agent.view.paused !== null);
    const result = await agent.awaitTenure(afterToken, outdated ? 0 : awaitTenureLimitMs, signal);
    if (result.outcome === 'tenure' || agent.view === null) return result;
    return { ...result, paused: agent.view.paused !== null };
  }

  async standDown(input: InstructionStamp): Promise<void> {
    const agent = this.agent(input.lock);
    this.checkSeq(input, 'standing');
    await agent.standDown('told to by the region workflow');
  }

  async startListener({ lock, tenure }: TenureInput): Promise<StartListenerResult> {
    const agent = this.agent(lock);
    agent.kick();
    const giveUpAt = performance.now() + listenerStartLimitMs;
    for (;;) {
      const running = agent.tenure;
      if (running && running.token > tenure.token)
        return { outcome: 'refused', why: `a newer tenure runs, with token ${running.token}` };
      if (running?.token === tenure.token && running.consuming)
        return { outcome: 'started', why: `the listener consumes with token ${tenure.token}` };
      if (performance.now() >= giveUpAt) {
        const why = running ? 'the listener does not consume yet' : 'this pod does not hold the lock';
        return { outcome: 'refused', why };
      }
      await pause(successorPollMs);
    }
  }

  async renewLease({ lock, tenure }: TenureInput): Promise<RenewLeaseResult> {
    const agent = this.agent(lock);
    const running = agent.tenure;
    if (running?.token === tenure.token) {
      agent.metrics.beat();
      const outcome = await agent.candidacy.extend();
      const stats = running.process.statsOf(lock);
      const marginMs = Math.round(running.marginMs);
      const { failback } = agent;
      if (running.phase !== 'ended' && outcome === 'confirmed')
        return {
          outcome: 'extended',
          marginMs,
          processed: stats?.processed ?? 0,
          inFlight: stats?.inFlight ?? 0,
          receipt: running.receipt,
          cordoned: agent.cordon && plainMark(agent.cordon),
          ...(failback && { failback }),
        };
      if (running.phase !== 'ended') return { outcome: 'unknown', why: `extension ${outcome}`, marginMs };
    }
    const { holder } = await agent.store.read();
    return {
      outcome: 'lost',
      why: holder
        ? `etcd shows ${holder.region}/${holder.pod} with token ${holder.token} as holder`
        : 'etcd shows no holder',
      holder: holder && tenureOf(lock, holder),
    };
  }

  async drainAndHandOver(input: DrainAndHandOverInput): Promise<HandOverOutcome> {
    const agent = this.agent(input.lock);
    this.checkSeq(input, 'leaving');
    return agent.instructions.toTargets(input);
  }

  async releaseLock(input: ReleaseLockInput): Promise<ReleaseOutcome> {
    const agent = this.agent(input.lock);
    this.checkSeq(input, 'leaving');
    return agent.instructions.release(input);
  }

  async abortSwitch({ lock, switchId, why }: { lock: string; switchId: string; why: string }): Promise<void> {
    await this.agent(lock).store.abortSwitch(switchId, why);
  }

  async force({ lock, force }: { lock: string; force: Force }): Promise<ForceOutcome> {
    const { store, settings, logger } = this.agent(lock);
    const outcome = await forceRelease(store, settings, force, (holder) =>
      closeConnections(this.means.regions, lock, holder),
    );
    const why = outcome.outcome === 'refused' ? outcome.why : outcome.broker?.why;
    logger.warn({ token: force.token, outcome: outcome.outcome, reason: why }, `forced by ${force.by}`);
    return outcome;
  }

  /** All or nothing: the process dies with every lock that it holds, so each of them must allow it. */
  async crash({ lock, token, drillId, by, reason }: CrashInput): Promise<CrashOutcome> {
    const agent = this.agent(lock);
    const beganMs = performance.now();
    const { holder } = await agent.store.read();
    if (holder?.token !== token || agent.tenure?.token !== token)
      return {
        outcome: 'not-holder',
        why: holder
          ? `${holder.region}/${holder.pod} holds the lock, under token ${holder.token}`
          : 'nobody holds the lock',
      };
    for (const each of this.agents.values()) {
      if (each.tenure === null) continue;
      const why =
        each.tenure.phase === 'running' ? await whyNotCrash(each) : `${each.lock} is being handed over`;
      if (why !== null) return { outcome: 'refused', why };
    }
    if (performance.now() - beganMs > crashCheckLimitMs)
      return { outcome: 'refused', why: `the checks took longer than ${crashCheckLimitMs / 1000} s` };
    if (agent.tenure?.token !== token)
      return { outcome: 'not-holder', why: 'the tenure ended during the checks' };
    agent.logger.fatal({ token, drillId, by, reason }, 'killing this pod for a crash drill');
    this.means.killSelf();
    return new Promise(() => {});
  }

  async mark({ lock, mark }: { lock: string; mark: Mark }): Promise<MarkResult> {
    return this.agent(lock).store.mark(mark);
  }

  async inspectLock({ lock, gaps }: InspectInput): Promise<LockTruth> {
    const { store, settings } = this.agent(lock);
    const view = await store.read();
    const receipts = gaps ? await store.listReceipts(receiptsForGaps) : null;
    return {
      ...(receipts && { recentGapsMs: switchGaps(receipts) }),
      ...lockTruth(lock, view, settings.preference),
    };
  }

  async probe({ lock }: InspectInput): Promise<ProbeResult> {
    const agent = this.agent(lock);
    const why = agent.whyNotTakeOver() ?? (agent.standing ? null : 'does not stand for the lock');
    const { listeners, subscription, marginMs } = agent;
    const isWarm = listeners.isReady(lock);
    const idleMs = Math.round(subscription.idleMs);
    const asks = idleMs < workflowSilenceMs;
    return {
      ready: why === null,
      why: why ?? 'ready and standing',
      checks: [
        {
          check: 'broker reachable',
          passed: isWarm,
          why: isWarm ? 'its listener is connected to the broker' : listeners.whyNotReady(lock),
        },
        {
          check: 'workflow running',
          passed: asks,
          why: asks
            ? "its region's workflow asks it to stand"
            : `its region's workflow has not asked for ${idleMs} ms`,
        },
        {
          check: 'clock margin',
          passed: marginMs > 0,
          why: `${Math.round(marginMs)} ms until the deadline of its last confirmed extension`,
        },
      ],
    };
  }

  async awaitSuccessor(input: AwaitSuccessorInput, signal: AbortSignal): Promise<AwaitSuccessorResult> {
    const { store } = this.agent(input.lock);
    const giveUpAt = performance.now() + input.waitMs;
    for (;;) {
      const receipt = await store.readReceipt(input.switchId);
      const enough = receipt?.firstStartedAt != null || performance.now() >= giveUpAt || signal.aborted;
      if (enough) {
        const { holder } = await store.read();
        return { holder: holder && tenureOf(input.lock, holder), receipt };
      }
      await pause(successorPollMs);
    }
  }

  async runHook(question: HookQuestion): Promise<SwitchAnswer> {
    const { lock, hook: name, stage, switchId } = question;
    const { settings, store, logger } = this.agent(lock);
    const hook = settings.hooks.find((each) => each.name === name && each.at === stage);
    if (!hook) throw new RefusedError(`hook ${name} at ${stage} is not configured here`);
    const answer = await askHook(hook, question);
    const { verdict, why } = answer;
    logger.info({ switchId, hook: name, stage, verdict, reason: why }, 'hook asked');
    // Before the release, the answer gets into the receipt with the hand-over.
    if (stage !== 'before-release')
      // The hook has been told: without etcd's answer, too, nobody else may tell it again.
      await store
        .addAnswer(switchId, answer)
        .catch((error: Error) =>
          logger.warn({ switchId, hook: name, reason: error.message }, 'not in the receipt'),
        );
    return answer;
  }

  private agent(lock: string): LockAgent {
    const agent = this.agents.get(lock);
    if (agent) return agent;
    throw new RefusedError(
      `lock ${lock} is not configured here; known: ${[...this.agents.keys()].join(', ')}`,
    );
  }

  private checkSeq({ lock, seq }: InstructionStamp, sequence: Sequence): void {
    const key = `${sequence} ${lock}`;
    const highest = this.highestSeq.get(key) ?? seq;
    if (seq < highest) throw new RefusedError(`instruction ${seq} is older than ${highest}, seen before`);
    this.highestSeq.set(key, seq);
  }
}

const switchGaps = (receipts: Receipt[]): number[] =>
  receipts
    .flatMap(({ cause, gapMs }) => (cause === 'switch' && gapMs !== null ? [gapMs] : []))
    .slice(0, keptGaps);

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
