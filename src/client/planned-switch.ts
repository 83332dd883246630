import { setTimeout as sleep } from 'node:timers/promises';
import type { Receipt, StepRecord, SwitchOutcome } from '../../workflows/contract';
import type { TraceContext } from '../../workflows/trace-context';
import type { LockStore, LockView } from '../pod/lock-store';
import { type RegionWorkflows, WorkflowsAwayError } from './region-workflows';

export interface SwitchRequest {
  lock: string;
  switchId: string;
  to: string;
  reason: string;
  by: string;
  trace?: TraceContext;
}

/** `steps`: as far as the workflow told them, oldest first. */
export type SwitchResult =
  | { outcome: 'done'; why: string; receipt: Receipt; steps: StepRecord[] }
  /** The target held the lock already; nothing was asked for. */
  | { outcome: 'already-active'; why: string }
  /** Nothing has changed, and by this request nothing will. */
  | { outcome: 'not-done'; why: string; steps: StepRecord[] }
  /** etcd went away before the outcome was known, and says it when it is back, under the switch id. */
  | { outcome: 'unsettled'; why: string };

export interface SwitchTiming {
  /** For the whole switch. */
  timeoutMs: number;
  /** How long to wait, after the hand-over, for the new holder's first message. An empty queue has none. */
  firstMessageMs: number;
  /** Hooks that are told after the hand-over, and how long to wait for what they say. */
  told: { hooks: number; limitMs: number };
  /** Temporal must have answered once by then, or the switch is aborted. */
  contactMs: number;
  pollMs: number;
}

type SwitchStore = Pick<LockStore, 'read' | 'readReceipt' | 'abortSwitch'>;

/**
 * Asks the active region's workflow to hand a lock over, and finds out what came of it: by the update's answer, asked
 * for again under the switch id as often as the connection is lost, and by the receipt in etcd, which needs no
 * Temporal. When the time is up it aborts the switch in etcd, where of the abort and the hand-over the one that
 * commits first decides: so the answer is definite as long as etcd answers.
 */
export class PlannedSwitch {
  private readonly beganMs = performance.now();
  private readonly deadline: number;
  private said = '';
  private steps: StepRecord[] = [];
  private over = false;
  private reached = false;
  /** It waits for an approval: the workflow is looked at from now on, not asked. */
  private looksOnly = false;

  constructor(
    private readonly request: SwitchRequest,
    private readonly store: SwitchStore,
    private readonly workflows: Pick<RegionWorkflows, 'switchTo' | 'status'>,
    private readonly timing: SwitchTiming,
    private readonly progress: (line: string) => void,
  ) {
    this.deadline = this.beganMs + timing.timeoutMs;
  }

  /** @throws UnknownOutcomeError when etcd could not be reached before anything was asked for. */
  async run(): Promise<SwitchResult> {
    const { lock, to } = this.request;
    const { holder, candidates } = await this.store.read();
    if (holder === null) return this.notDone(nobodyHolds(lock, candidates));
    const { region, pod, token } = holder;
    const before = region === to ? await this.readReceipt() : null;
    if (before) return this.done(before);
    if (region === to)
      return {
        outcome: 'already-active',
        why: `${lock} is already active in ${to} (pod ${pod}, token ${token})`,
      };
    this.say(`asking ${region} (pod ${pod}, token ${token}) to hand ${lock} over to ${to}`);
    try {
      const answered = this.ask(region);
      // Its failure counts only as long as somebody waits for it.
      answered.catch(() => undefined);
      for (let turn = 0; performance.now() < this.deadline; turn++) {
        if (this.looksOnly) await this.nap();
        const result = (await Promise.race([answered, this.nap()])) ?? (await this.look(region, turn));
        if (result) return result;
      }
      return await this.abort(`no outcome within ${Math.round(this.timing.timeoutMs / 1000)} s`);
    } finally {
      this.over = true;
    }
  }

  private async nap(): Promise<null> {
    await sleep(this.timing.pollMs);
    return null;
  }

  /** By the workflow's update, again and again. `null` when it is not needed any more. */
  private async ask(from: string): Promise<SwitchResult | null> {
    const { lock, ...request } = this.request;
    while (!this.over) {
      try {
        const answer = await this.workflows.switchTo(lock, from, request);
        this.reached = true;
        if (answer.outcome === 'answered') {
          this.looksOnly = answer.answer.result === 'running';
          return await this.concluded(answer.answer);
        }
        if (answer.outcome === 'turned-down') return await this.unlessDone(answer.why);
        if (answer.outcome === 'not-running')
          return await this.unlessDone(
            `the workflow of ${lock} in ${from} is not running; start it with: baton start --region ${from}`,
          );
      } catch (error) {
        if (!(error instanceof WorkflowsAwayError)) throw error;
        if (!this.reached && performance.now() - this.beganMs > this.timing.contactMs)
          return await this.abort(error.message);
        // The pods and etcd carry a switch that has begun to its end without Temporal.
        this.say(`waiting for Temporal: ${error.message}`);
      }
      await this.nap();
    }
    return null;
  }

  /** `null`: it waits for an approval, and nobody has to wait with it. */
  private async concluded({ result, why, receipt, steps }: SwitchOutcome): Promise<SwitchResult | null> {
    this.noteSteps(steps);
    if (result === 'running') return null;
    if (result === 'done' && receipt) return this.done(receipt);
    return this.unlessDone(`${result}: ${why}`);
  }

  /** An earlier try of ours, whose answer was lost, may have done it. */
  private async unlessDone(why: string): Promise<SwitchResult> {
    const receipt = await this.readReceipt();
    return receipt ? this.done(receipt) : this.notDone(why);
  }

  /** What etcd and the workflow show meanwhile. */
  private async look(from: string, turn: number): Promise<SwitchResult | null> {
    const { lock, switchId } = this.request;
    const receipt = await this.readReceipt();
    if (receipt) return this.done(receipt);
    // Its answer costs the pods a workflow task, in the middle of the hand-over.
    if (turn % 4 !== 3) return null;
    try {
      const status = await this.workflows.status(lock, from);
      const found =
        status === 'not-running' ? undefined : status.lastSwitches.find((each) => each.switchId === switchId);
      this.noteSteps(found?.steps);
      if (this.looksOnly && found && found.result !== 'running') return await this.concluded(found);
      // What a step says of itself first is said with its name.
      if (found?.result === 'running' && found.why !== this.steps.at(-1)?.why) this.say(found.why);
    } catch (error) {
      if (!(error instanceof WorkflowsAwayError)) throw error;
      this.say(`waiting for Temporal: ${error.message}`);
    }
    return null;
  }

  private async readReceipt(): Promise<Receipt | null> {
    try {
      return await this.store.readReceipt(this.request.switchId);
    } catch (error) {
      // The switch goes on without us; etcd is asked again until the time is up.
      this.say(`waiting for etcd: ${(error as Error).message}`);
      return null;
    }
  }

  private async done(receipt: Receipt): Promise<SwitchResult> {
    const { firstMessageMs, pollMs } = this.timing;
    const limitMs = Math.min(this.deadline - performance.now(), firstMessageMs);
    const worked = await awaitFirstMessage(receipt, () => this.readReceipt(), limitMs, pollMs);
    const latest = await this.untilTold(worked);
    const where =
      latest.to === null ? 'released' : `handed over to ${latest.to.region} (pod ${latest.to.pod})`;
    return { outcome: 'done', why: `${this.request.lock} was ${where}`, receipt: latest, steps: this.steps };
  }

  /** The workflow tells the hooks; what they say gets into the receipt. */
  private untilTold(receipt: Receipt): Promise<Receipt> {
    const { told, pollMs } = this.timing;
    const isTold = ({ answers = [] }: Receipt): boolean =>
      answers.filter(({ stage }) => stage === 'after-release' || stage === 'after-takeover').length >=
      told.hooks;
    return awaitReceipt(receipt, isTold, () => this.readReceipt(), told.limitMs, pollMs);
  }

  private notDone(why: string): SwitchResult {
    return { outcome: 'not-done', why, steps: this.steps };
  }

  private async abort(reason: string): Promise<SwitchResult> {
    const { lock, switchId } = this.request;
    const last = this.said === '' ? '' : `; last known: ${this.said}`;
    try {
      await this.store.abortSwitch(switchId, reason);
      const receipt = await this.store.readReceipt(switchId);
      if (receipt !== null) return await this.done(receipt);
      return this.notDone(`aborted: ${reason}${last}`);
    } catch (error) {
      const why = `whether ${lock} was handed over is decided in etcd, which does not answer (${(error as Error).message}); ask again when it does: baton history --lock ${lock} shows switch ${switchId} if it was`;
      return { outcome: 'unsettled', why };
    }
  }

  private noteSteps(steps: StepRecord[] = []): void {
    for (const { step, why } of steps.slice(this.steps.length)) this.say(`${step}: ${why}`);
    if (steps.length > this.steps.length) this.steps = steps;
  }

  private say(line: string): void {
    // A late answer has nothing to add once the outcome is known.
    if (this.over || line === this.said) return;
    this.said = line;
    this.progress(line);
  }
}

/** The receipt with its new holder's first message, if that comes within the limit; an empty queue has none. */
export const awaitFirstMessage = (
  receipt: Receipt,
  read: () => Promise<Receipt | null>,
  limitMs: number,
  pollMs: number,
): Promise<Receipt> =>
  awaitReceipt(receipt, ({ firstStartedAt }) => firstStartedAt !== null, read, limitMs, pollMs);

/** The receipt as soon as it is `enough`, or as it is at the limit. */
async function awaitReceipt(
  receipt: Receipt,
  enough: (latest: Receipt) => boolean,
  read: () => Promise<Receipt | null>,
  limitMs: number,
  pollMs: number,
): Promise<Receipt> {
  const giveUpAt = performance.now() + limitMs;
  let latest = receipt;
  while (!enough(latest) && performance.now() < giveUpAt) {
    await sleep(pollMs);
    latest = (await read()) ?? latest;
  }
  return latest;
}

function nobodyHolds(lock: string, candidates: LockView['candidates']): string {
  const ready = candidates.filter(({ state, standing }) => state === 'ready' && standing);
  const who = ready.length === 0 ? 'none' : ready.map(({ region, pod }) => `${region}/${pod}`).join(', ');
  return `nobody holds ${lock}, so there is nothing to hand over (ready candidates: ${who})`;
}
