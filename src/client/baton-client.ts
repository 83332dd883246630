import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type {
  Approval,
  BrokerFence,
  Force,
  HookStage,
  Mark,
  Receipt,
  StepRecord,
  SwitchOutcome,
} from '../../workflows/contract';
import type {
  DrillInput,
  DrillReport,
  GroupControl,
  GroupInput,
  GroupReport,
  SwitchOrder,
} from '../../workflows/operations-contract';
import type { Config, LockSettings } from '../config/config';
import { suggestion } from '../config/closest-name';
import { loadConfig } from '../config/load-config';
import type { FenceBroker } from '../pod/forced-release';
import type { LockStore, LockView } from '../pod/lock-store';
import { openTracing } from '../telemetry/tracing';
import { crashTarget } from './crash-recovery';
import { drillInput, type DrillOptions } from './drill-options';
import { NotSwitchedError, TurnedDownError, UnknownNameError, UnsettledError } from './errors';
import type { Operations, Scheduled, ScheduleTime } from './operations';
import { awaitFirstMessage, PlannedSwitch, type SwitchTiming } from './planned-switch';
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
  /** ms; then the switch is aborted. Default: the lock's limits for drain, approval and hooks, and 30 s. */
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

export interface ForceDone {
  /** Of whoever took over. */
  receipt: Receipt;
  /** What the broker did about the old holder's connections; `null` when a pod without this did the work. */
  broker: BrokerFence | null;
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
/** For the workflow's first-message wait, on top of the hooks' own limits. */
const toldGraceMs = 8_000;
/** For the spans of what was done, when a client is closed. */
const flushLimitMs = 1_000;
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
    const settings = this.settings(lock);
    this.checkRegion(to);
    const { limitMs, told } = waits(settings);
    const store = await this.servers.store(lock);
    const attributes = {
      'baton.lock': lock,
      'baton.to': to,
      'baton.switch_id': switchId,
      'baton.reason': reason,
      'baton.by': by,
    };
    const tracing = openTracing(this.config);
    const result = await tracing.span(
      'baton switch',
      { parent: 'active', kind: 'client', attributes },
      async (span) => {
        const trace = span.context && { trace: span.context };
        const planned = new PlannedSwitch(
          { lock, switchId, to, reason, by, ...trace },
          store,
          this.lazyWorkflows(),
          { ...timing, told, timeoutMs: options.timeoutMs ?? limitMs },
          onStep,
        );
        const found = await planned.run();
        span.set({ 'baton.outcome': found.outcome });
        if (found.outcome === 'not-done' || found.outcome === 'unsettled') span.fail(found.why);
        return found;
      },
    );
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
    checkTime(time);
    return (await this.operations()).schedule({ kind: 'switch', order }, time);
  }

  /** The same for a drill. Its objective is the one that is configured here and now, unless another is given. */
  async scheduleDrill(options: DrillOptions, time: ScheduleTime): Promise<string> {
    const input = this.drillInput(options);
    checkTime(time);
    // A crash drill begins anywhere but with its victim, and then looks where it should run.
    const active = input.kind === 'crash' ? await this.activeRegion(input.lock) : null;
    const elsewhere = this.config.regions.find(({ name }) => name !== active)?.name;
    const region = input.kind === 'planned' ? input.to : (elsewhere ?? active ?? '');
    return (await this.operations()).schedule({ kind: 'drill', input, region }, time);
  }

  async scheduled(): Promise<Scheduled[]> {
    return (await this.operations()).scheduled();
  }

  /** `false`: there is no such schedule. */
  async cancelSchedule(id: string): Promise<boolean> {
    return (await this.operations()).cancelSchedule(id);
  }

  /**
   * There and back, or a killed holder: waits for the end, told of nothing in between.
   * @throws TurnedDownError when the region holds it already, or nobody does.
   */
  async drill(options: DrillOptions): Promise<DrillReport> {
    const input = this.drillInput(options);
    const { lock } = input;
    const { holder, standbys } = crashTarget(await this.view(lock));
    if (!holder) throw new TurnedDownError(`nobody holds ${lock}: there is nothing to be drilled`);
    if (input.kind === 'planned' && holder.region === input.to)
      throw new TurnedDownError(`${lock} is active in ${input.to} already`);
    const elsewhere = standbys.find(({ region }) => region !== holder.region)?.region;
    const region = input.kind === 'crash' ? (elsewhere ?? holder.region) : holder.region;
    const operations = await this.operations();
    const id = `baton-drill/${lock}/${randomUUID()}`;
    await operations.startDrill(id, input, region);
    return this.untilThere(() => operations.drillResult(id));
  }

  private drillInput(options: DrillOptions): DrillInput {
    const { drill } = this.settings(options.lock);
    if (!options.crash) this.checkRegion(options.to);
    return drillInput(options, drill);
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
    throw new UnsettledError(
      `no outcome of switch ${found.switchId} within ${abortLimitMs / 1000} s`,
      found.switchId,
    );
  }

  /** Approves of the switch that waits for it, or of the one with this id. @returns what comes of it. */
  approve(lock: string, who: Who, switchId?: string): Promise<string> {
    return this.answerSwitch(lock, 'approve', who, switchId);
  }

  /** Ends the switch that waits for an approval, or the one with this id. */
  veto(lock: string, who: Who, switchId?: string): Promise<string> {
    return this.answerSwitch(lock, 'veto', who, switchId);
  }

  private async answerSwitch(
    lock: string,
    verdict: Approval['verdict'],
    who: Who,
    switchId?: string,
  ): Promise<string> {
    this.settings(lock);
    const workflows = await this.servers.workflows();
    const found = await this.findSwitch(workflows, lock, switchId);
    const approval = { switchId: found.switchId, verdict, ...who };
    const answer = await workflows.approve(lock, found.region, approval);
    if (answer.outcome === 'answered') return answer.answer.why;
    throw new TurnedDownError(noAnswerText(answer));
  }

  /**
   * Takes the lock from a holder that does not answer, for `to`. Waits until the old holder's deadline has passed for
   * certain before anybody may start, unless `acceptDuplicates`: then two may work at the same time for a while.
   * Resolves with the receipt of whoever took over.
   */
  async force({ lock, to, reason, by, acceptDuplicates = false }: ForceOptions): Promise<ForceDone> {
    const settings = this.settings(lock);
    const { leaseTtlMs } = settings;
    this.checkRegion(to);
    const store = await this.servers.store(lock);
    const view = await store.read();
    const { holder, last } = view;
    const limitMs = (acceptDuplicates ? 0 : leaseTtlMs) + forceWindowMs;
    const [{ finishForced, forceRelease }, { closeConnections }] = await Promise.all([
      import('../pod/forced-release.js'),
      import('../pod/broker-fence.js'),
    ]);
    const fenceBroker: FenceBroker = (fenced) => closeConnections(this.config.regions, lock, fenced);
    if (!holder) {
      // By somebody who died half way.
      const broker = await finishForced(store, leaseTtlMs, view, fenceBroker);
      if (broker) {
        const { modRevision = 0, receipt } = last ?? {};
        return { receipt: await this.untilTakenOver(store, modRevision, limitMs, receipt?.id ?? ''), broker };
      }
      throw new TurnedDownError(`nobody holds ${lock}: whoever is ready takes it without being told`);
    }
    const { token, region, pod } = holder;
    if (region === to) throw new TurnedDownError(`${lock} is active in ${to} already (pod ${pod})`);
    const waitFor = acceptDuplicates ? 'nothing' : 'deadline';
    const force: Force = { switchId: randomUUID(), token, to, reason, by, waitFor };
    const asked = await this.throughAnyWorkflow(lock, to, (workflows, each) =>
      workflows.force(lock, each, force),
    );
    const done = 'reasons' in asked ? await forceRelease(store, settings, force, fenceBroker) : asked;
    if (done.outcome === 'refused') throw new TurnedDownError(`${lock} was not touched: ${done.why}`);
    const receipt = await this.untilTakenOver(store, token, limitMs, force.switchId);
    return { receipt, broker: done.broker ?? null };
  }

  private async untilTakenOver(
    store: LockStore,
    token: number,
    limitMs: number,
    switchId: string,
  ): Promise<Receipt> {
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
    throw new UnsettledError(
      `${store.lock} was taken from its holder, and nobody has taken it over within ${Math.round(limitMs / 1000)} s: see baton why`,
      switchId,
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
  async close(): Promise<void> {
    await openTracing(this.config).flush(flushLimitMs);
    await this.servers.close();
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

  /** @internal For what shows more than a report: the dashboard. */
  connections(): Servers {
    return this.servers;
  }

  /** @internal For what runs in a pod. */
  lockStore(lock: string): Promise<LockStore> {
    this.settings(lock);
    return this.servers.store(lock);
  }

  /** @internal @throws UnknownNameError */
  settings(lock: string): LockSettings {
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

function checkTime(time: ScheduleTime): void {
  if ('at' in time && !(time.at.getTime() > Date.now()))
    throw new TurnedDownError(`the time ${time.at.toString()} does not lie in the future`);
}

/** How long a planned switch of the lock may take as a whole, and what is waited for after its hand-over. */
function waits({ drainLimitMs, approvalWithinMs, hooks }: LockSettings): {
  limitMs: number;
  told: SwitchTiming['told'];
} {
  const longest = (at: HookStage): number =>
    Math.max(0, ...hooks.filter((hook) => hook.at === at).map(({ timeoutMs }) => timeoutMs));
  const after = hooks.filter(({ at }) => at !== 'before-release');
  const afterMs = longest('after-release') + longest('after-takeover');
  const limitMs = drainLimitMs + approvalWithinMs + longest('before-release') + beyondDrainMs;
  return { limitMs, told: { hooks: after.length, limitMs: after.length > 0 ? afterMs + toldGraceMs : 0 } };
}
