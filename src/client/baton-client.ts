import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Force, Mark, Receipt, StepRecord, SwitchOutcome } from '../../workflows/contract';
import type {
  DrillReport,
  GroupControl,
  GroupInput,
  GroupReport,
  SwitchOrder,
} from '../../workflows/operations-contract';
import type { Config, LockSettings } from '../config/config';
import { suggestion } from '../config/closest-name';
import { loadConfig } from '../config/load-config';
import type { LockStore, LockView } from '../pod/lock-store';
import { NotSwitchedError, TurnedDownError, UnknownNameError, UnsettledError } from './errors';
import type { Operations, ScheduledSwitch, ScheduleTime } from './operations';
import { awaitFirstMessage, PlannedSwitch } from './planned-switch';
import { askPreflight, type PreflightAnswer } from './preflight';
import { type Answer, noAnswerText, type RegionWorkflows, WorkflowsAwayError } from './region-workflows';
import { Servers } from './servers';
import { readStatus, type StatusReport } from './status-reader';

export interface ClientOptions {
  /** Path of baton.yaml. Default: the variable BATON_CONFIG, else ./baton.yaml. */
  config?: string;
  /** Default: `process.env`. */
  env?: NodeJS.ProcessEnv;
  /** Told of each value in etcd that cannot be read, in one sentence. Default: a process warning. */
  onProblem?: (problem: string) => void;
}

export interface Who {
  reason: string;
  by: string;
}

export interface SwitchOptions extends Who {
  lock: string;
  /** The region to become active. */
  to: string;
  /** Under which it can be asked for again. Default: a new one. */
  switchId?: string;
  /** ms; then the switch is aborted. Default: the lock's drain limit and 30 s. */
  timeoutMs?: number;
  /** Told of each step as it happens, in one sentence. */
  onStep?: (line: string) => void;
}

export interface ForceOptions extends Who {
  lock: string;
  to: string;
  /** Do not wait for the old holder's deadline: it may still be working. Default false. */
  acceptDuplicates?: boolean;
}

export interface DrillOptions extends SwitchOrder {
  returnAfterMs: number;
  /** What each of the two gaps may be at most. Default: no objective. */
  objectiveMs?: number | null;
}

export interface SwitchDone {
  outcome: 'done' | 'already-active';
  switchId: string;
  why: string;
  /** `null` when the region was active already. */
  receipt: Receipt | null;
  steps: StepRecord[];
}

export interface Aborted {
  switchId: string;
  /** `rolled-back`: the old holder has the lock, under the same token. `done`: the hand-over came first. */
  result: SwitchOutcome['result'];
  why: string;
  receipt: Receipt | null;
}

export interface Marking {
  lock: string;
  changed: boolean;
  why: string;
}

/** On top of the drain limit: preflight, hand-over and the new holder's first message. */
const beyondDrainMs = 30_000;
const timing = { firstMessageMs: 3_000, contactMs: 5_000, pollMs: 100 };
/** As many receipts as etcd keeps of one lock. */
const allReceipts = 1_000;
const abortLimitMs = 120_000;
const operationPollMs = 300;
/** On top of the TTL: etcd's expiry, the takeover, and the time for which only the target may acquire. */
const forceWindowMs = 15_000;

/**
 * What the command line does, for programs: the locks of one configuration, over etcd and Temporal. Connects when it
 * has to, and never runs a handler. Every call is bounded in time, but for `drill` and `switchGroup`, which wait for their
 * workflow's end.
 *
 * Errors are classes, one per decision: {@link UnknownNameError} (bad input), {@link NotSwitchedError},
 * {@link UnsettledError}, {@link TurnedDownError}; `WorkflowsAwayError` when Temporal, `UnknownOutcomeError` when etcd
 * did not answer.
 */
export class BatonClient {
  private constructor(
    readonly config: Config,
    private readonly servers: Servers,
  ) {}

  /** @throws ConfigError naming every setting that is wrong. */
  static open({ config: file, env = process.env, onProblem }: ClientOptions = {}): BatonClient {
    const config = loadConfig({
      ...(file === undefined ? {} : { file }),
      env,
      checkHandlers: false,
      cwd: process.cwd(),
    });
    return BatonClient.of(config, onProblem ?? ((problem) => process.emitWarning(problem)));
  }

  /** For a configuration that is loaded already. */
  static of(config: Config, onProblem: (problem: string) => void): BatonClient {
    return new BatonClient(config, new Servers(config, onProblem));
  }

  /** Starts a region's workflow, once however often it is called. */
  async start(lock: string, region: string): Promise<'started' | 'already-running'> {
    this.settings(lock);
    this.checkRegion(region);
    return (await this.servers.workflows()).start(lock, region);
  }

  /** Makes `to` the active region of a lock, and returns the receipt. */
  async switchTo(options: SwitchOptions): Promise<SwitchDone> {
    const { lock, to, reason, by, switchId = randomUUID(), onStep = () => undefined } = options;
    const { drainLimitMs } = this.settings(lock);
    this.checkRegion(to);
    const planned = new PlannedSwitch(
      { lock, switchId, to, reason, by },
      await this.servers.store(lock),
      this.lazyWorkflows(),
      { ...timing, timeoutMs: options.timeoutMs ?? drainLimitMs + beyondDrainMs },
      onStep,
    );
    const result = await planned.run();
    switch (result.outcome) {
      case 'done':
        return { ...result, switchId };
      case 'already-active':
        return { ...result, switchId, receipt: null, steps: [] };
      case 'not-done':
        throw new NotSwitchedError(result.why, switchId, result.steps);
      case 'unsettled':
        throw new UnsettledError(result.why, switchId);
    }
  }

  /** A planned switch at a time, or again and again. One that cannot be done then is skipped, with its reason. */
  async schedule(order: SwitchOrder, time: ScheduleTime): Promise<string> {
    this.settings(order.lock);
    this.checkRegion(order.to);
    return (await this.operations()).schedule(order, time);
  }

  async scheduled(): Promise<ScheduledSwitch[]> {
    return (await this.operations()).scheduled();
  }

  /** `false`: there is no such schedule. */
  async cancelSchedule(id: string): Promise<boolean> {
    return (await this.operations()).cancelSchedule(id);
  }

  /** There and back: waits for the end, told of nothing in between. @throws TurnedDownError when the region holds it. */
  async drill({
    lock,
    to,
    reason,
    by,
    returnAfterMs,
    objectiveMs = null,
  }: DrillOptions): Promise<DrillReport> {
    this.settings(lock);
    this.checkRegion(to);
    if ((await this.activeRegion(lock)) === to)
      throw new TurnedDownError(`${lock} is active in ${to} already`);
    const operations = await this.operations();
    const id = `baton-drill/${lock}/${randomUUID()}`;
    await operations.startDrill(id, { lock, to, reason, by, returnAfterMs, objectiveMs });
    return this.untilThere(() => operations.drillResult(id));
  }

  /** Several locks together: all or none. `onStep` is told of its phases. */
  async switchGroup(
    input: GroupInput,
    onStep: (line: string) => void = () => undefined,
  ): Promise<GroupReport> {
    for (const lock of input.locks) this.settings(lock);
    this.checkRegion(input.to);
    const operations = await this.operations();
    const id = `baton-group/${randomUUID()}`;
    await operations.startGroup(id, input);
    onStep(`${id}: asks whether every lock could be switched`);
    let said = '';
    return this.untilThere(async () => {
      const result = await operations.groupResult(id);
      if (result) return result;
      const { phase, why } = await operations.groupStatus(id);
      if (why !== said) onStep(`${phase}: ${why}`);
      said = why;
      return null;
    });
  }

  /** Pauses, resumes or aborts a group that is being switched; an abort brings back those that have moved. */
  async controlGroup(id: string, control: GroupControl): Promise<void> {
    await (await this.operations()).controlGroup(id, control);
  }

  /** The region that holds the lock, `null` for none. */
  async activeRegion(lock: string): Promise<string | null> {
    this.settings(lock);
    return (await this.view(lock)).holder?.region ?? null;
  }

  private async operations(): Promise<Operations> {
    return (await this.servers.workflows()).operations;
  }

  /** However long it takes: the workflow goes on without us, and is found again in the Temporal UI. */
  private async untilThere<T>(ask: () => Promise<T | null>): Promise<T> {
    for (;;) {
      try {
        const found = await ask();
        if (found) return found;
      } catch (error) {
        if (!(error instanceof WorkflowsAwayError)) throw error;
      }
      await sleep(operationPollMs);
    }
  }

  /** Every preflight check with its verdict, for one region or for all but the holder's. Changes nothing. */
  async preflight(lock: string, to: string | null = null): Promise<PreflightAnswer> {
    this.settings(lock);
    if (to !== null) this.checkRegion(to);
    const view = await this.view(lock);
    const regions = this.config.regions.map(({ name }) => name);
    return askPreflight(await this.servers.workflows(), lock, regions, view.holder?.region ?? null, to);
  }

  /**
   * Undoes the switch under way, or the one with this id, as long as it can be: of the abort and the hand-over the one
   * that etcd commits first decides.
   */
  async abort(lock: string, { reason, by }: Who, switchId?: string): Promise<Aborted> {
    this.settings(lock);
    const workflows = await this.servers.workflows();
    const found = await this.findSwitch(workflows, lock, switchId);
    const request = { switchId: found.switchId, reason, by };
    const giveUpAt = Date.now() + abortLimitMs;
    while (Date.now() < giveUpAt) {
      const answer = await workflows.abortSwitch(lock, found.region, request);
      if (answer.outcome === 'answered') return answer.answer;
      if (answer.outcome === 'turned-down') throw new TurnedDownError(answer.why);
      if (answer.outcome === 'not-running')
        throw new TurnedDownError(`the workflow of ${lock} in ${found.region} is not running any more`);
    }
    throw new TurnedDownError(`no outcome of switch ${found.switchId} within ${abortLimitMs / 1000} s`);
  }

  /**
   * Takes the lock from a holder that does not answer, for `to`. Waits until the old holder's deadline has passed for
   * certain before anybody may start, unless `acceptDuplicates`: then two may work at the same time for a while.
   * Resolves with the receipt of whoever took over.
   */
  async force({ lock, to, reason, by, acceptDuplicates = false }: ForceOptions): Promise<Receipt> {
    const settings = this.settings(lock);
    const { leaseTtlMs } = settings;
    this.checkRegion(to);
    const store = await this.servers.store(lock);
    const view = await store.read();
    const { holder, last } = view;
    const limitMs = (acceptDuplicates ? 0 : leaseTtlMs) + forceWindowMs;
    const { finishForced, forceRelease } = await import('../pod/forced-release.js');
    if (!holder) {
      // By somebody who died half way.
      if (await finishForced(store, leaseTtlMs, view))
        return this.untilTakenOver(store, last?.modRevision ?? 0, limitMs);
      throw new TurnedDownError(`nobody holds ${lock}: whoever is ready takes it without being told`);
    }
    const { token, region, pod } = holder;
    if (region === to) throw new TurnedDownError(`${lock} is active in ${to} already (pod ${pod})`);
    const waitFor = acceptDuplicates ? 'nothing' : 'deadline';
    const force: Force = { switchId: randomUUID(), token, to, reason, by, waitFor };
    const asked = await this.throughAnyWorkflow(lock, to, (workflows, each) =>
      workflows.force(lock, each, force),
    );
    const done = 'reasons' in asked ? await forceRelease(store, settings, force) : asked;
    if (done.outcome === 'refused') throw new TurnedDownError(`${lock} was not touched: ${done.why}`);
    return this.untilTakenOver(store, token, limitMs);
  }

  private async untilTakenOver(store: LockStore, token: number, limitMs: number): Promise<Receipt> {
    const giveUpAt = Date.now() + limitMs;
    while (Date.now() < giveUpAt) {
      const { holder, last } = await store.read();
      if (holder && holder.token > token && last?.modRevision === holder.token)
        return awaitFirstMessage(
          last.receipt,
          () => store.readReceipt(last.receipt.id),
          timing.firstMessageMs,
          timing.pollMs,
        );
      await sleep(timing.pollMs);
    }
    throw new TurnedDownError(
      `${store.lock} was taken from its holder, and nobody has taken it over within ${Math.round(limitMs / 1000)} s: see baton why`,
    );
  }

  /** No automatic takeover and no switch until `resume`; the holder goes on. */
  pause(lock: string, who: Who): Promise<Marking> {
    return this.mark(lock, { kind: 'pause', ...who });
  }

  resume(lock: string, who: Who): Promise<Marking> {
    return this.mark(lock, { kind: 'resume', ...who });
  }

  /** Somebody has looked at a lock that changed its region too often by itself: it may do so again. */
  ack(lock: string, who: Who): Promise<Marking> {
    return this.mark(lock, { kind: 'ack', ...who });
  }

  /** Takes a region out of service for this lock: its candidates step back, its holder hands over if it can. */
  cordon(lock: string, region: string, who: Who): Promise<Marking> {
    this.checkRegion(region);
    return this.mark(lock, { kind: 'cordon', region, ...who });
  }

  uncordon(lock: string, region: string, who: Who): Promise<Marking> {
    this.checkRegion(region);
    return this.mark(lock, { kind: 'uncordon', region, ...who });
  }

  status(locks = this.config.locks.map(({ name }) => name)): Promise<StatusReport> {
    for (const lock of locks) this.settings(lock);
    return readStatus(this.config, this.servers, locks);
  }

  /** Changes of holder, oldest first: the newest thousand of each lock, whether or not Temporal still knows them. */
  async history(locks = this.config.locks.map(({ name }) => name), since?: Date): Promise<Receipt[]> {
    const lists = await Promise.all(
      locks.map(async (lock) => {
        this.settings(lock);
        return (await this.servers.store(lock)).listReceipts(allReceipts);
      }),
    );
    const from = since?.toISOString() ?? '';
    return lists
      .flat()
      .filter(({ at }) => at >= from)
      .toSorted((a, b) => a.at.localeCompare(b.at));
  }

  /** Closes its connections. Idempotent. */
  close(): Promise<void> {
    return this.servers.close();
  }

  private async view(lock: string): Promise<LockView> {
    return (await this.servers.store(lock)).read();
  }

  /** By the active region's workflow, else by another's; without Temporal straight into etcd. */
  private async mark(lock: string, mark: Mark): Promise<Marking> {
    this.settings(lock);
    const result = await this.throughAnyWorkflow(lock, mark.region, (workflows, region) =>
      workflows.mark(lock, region, mark),
    );
    if (!('reasons' in result)) return { lock, ...result };
    const { reasons } = result;
    const written = await (await this.servers.store(lock)).mark(mark);
    return {
      lock,
      ...written,
      why: `${written.why} (written to etcd without a workflow: ${reasons.join('; ')})`,
    };
  }

  private async throughAnyWorkflow<T extends object>(
    lock: string,
    concerned: string | undefined,
    ask: (workflows: RegionWorkflows, region: string) => Promise<Answer<T>>,
  ): Promise<T | { reasons: string[] }> {
    const reasons: string[] = [];
    try {
      const workflows = await this.servers.workflows();
      for (const region of await this.regionsToAsk(lock, concerned)) {
        const answer = await ask(workflows, region);
        if (answer.outcome === 'answered') return answer.answer;
        reasons.push(`${region}: ${noAnswerText(answer)}`);
      }
    } catch (error) {
      if (!(error instanceof WorkflowsAwayError)) throw error;
      reasons.push(error.message);
    }
    return { reasons };
  }

  /** The concerned region first, then the holder's. */
  private async regionsToAsk(lock: string, concerned?: string): Promise<string[]> {
    const { holder } = await this.view(lock);
    const rank = (region: string): number => (region === concerned ? 0 : region === holder?.region ? 1 : 2);
    return this.config.regions.map(({ name }) => name).toSorted((a, b) => rank(a) - rank(b));
  }

  private async findSwitch(
    workflows: RegionWorkflows,
    lock: string,
    switchId: string | undefined,
  ): Promise<{ region: string; switchId: string }> {
    const away: string[] = [];
    for (const { name: region } of this.config.regions) {
      const status = await workflows.status(lock, region).catch((error: unknown) => {
        // Of one region, perhaps: the switch may be another's.
        if (!(error instanceof WorkflowsAwayError)) throw error;
        away.push(`; ${region} could not be asked (${error.message})`);
        return 'not-running' as const;
      });
      if (status === 'not-running') continue;
      const found = status.lastSwitches.find((each) =>
        switchId === undefined ? each.result === 'running' : each.switchId === switchId,
      );
      if (found) return { region, switchId: found.switchId };
    }
    throw new TurnedDownError(
      switchId === undefined
        ? `no switch of ${lock} is under way${away.join('')}`
        : `no region's workflow knows a switch ${switchId} of ${lock}${away.join('')}`,
    );
  }

  private settings(lock: string): LockSettings {
    const found = this.config.locks.find(({ name }) => name === lock);
    if (found) return found;
    const known = this.config.locks.map(({ name }) => name);
    throw new UnknownNameError(`lock ${lock} is not in the configuration${suggestion(lock, known)}`);
  }

  private checkRegion(region: string): void {
    const known = this.config.regions.map(({ name }) => name);
    if (!known.includes(region))
      throw new UnknownNameError(`region ${region} is not in the configuration${suggestion(region, known)}`);
  }

  /** Connected by the first call: where a lock is active already, nobody has to be asked. */
  private lazyWorkflows(): Pick<RegionWorkflows, 'switchTo' | 'status'> {
    return {
      switchTo: async (...call) => (await this.servers.workflows()).switchTo(...call),
      status: async (...call) => (await this.servers.workflows()).status(...call),
    };
  }
}
