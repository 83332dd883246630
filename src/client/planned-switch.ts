import { setTimeout as sleep } from 'node:timers/promises';
import type { Receipt, SwitchOutcome } from '../../workflows/contract';
import type { LockStore, LockView } from '../pod/lock-store';
import { type RegionWorkflows, WorkflowsAwayError } from './region-workflows';

export interface SwitchRequest {
  lock: string;
  switchId: string;
  to: string;
  reason: string;
  by: string;
}

export type SwitchResult =
  | { outcome: 'done'; why: string; receipt: Receipt }
  /** The target held the lock already; nothing was asked for. */
  | { outcome: 'already-active'; why: string }
  /** Nothing has changed, and by this request nothing will. */
  | { outcome: 'not-done'; why: string }
  /** A server went away before the outcome was known, and says it when it is back, under the switch id. */
  | { outcome: 'unsettled'; why: string };

export interface SwitchTiming {
  /** For the whole switch. */
  timeoutMs: number;
  /** How long to wait, after the hand-over, for the new holder's first message. An empty queue has none. */
  firstMessageMs: number;
  pollMs: number;
}

type SwitchStore = Pick<LockStore, 'read' | 'readReceipt' | 'abortSwitch'>;

const failedResults: readonly SwitchOutcome['result'][] = ['refused', 'ignored', 'rolled-back', 'failed'];

/**
 * Asks the active region's workflow to hand a lock over, and finds out what came of it: in etcd by the
 * receipt, in the workflow by the switch id. When the time is up it aborts the switch in etcd, where of the
 * abort and the hand-over the one that commits first decides: so the answer is definite as long as etcd
 * answers.
 */
export class PlannedSwitch {
  private readonly deadline: number;
  private said = '';

  constructor(
    private readonly request: SwitchRequest,
    private readonly store: SwitchStore,
    private readonly workflows: RegionWorkflows,
    private readonly timing: SwitchTiming,
    private readonly progress: (line: string) => void,
  ) {
    this.deadline = performance.now() + timing.timeoutMs;
  }

  /**
   * @throws UnknownOutcomeError when etcd, and WorkflowsAwayError when Temporal, could not be reached before
   * anything was asked for.
   */
  async run(): Promise<SwitchResult> {
    const { lock, to, switchId, reason, by } = this.request;
    const { holder, candidates } = await this.store.read();
    if (holder === null) return { outcome: 'not-done', why: nobodyHolds(lock, candidates) };
    if (holder.region === to) {
      const why = `${lock} is already active in ${to} (pod ${holder.pod}, token ${holder.token})`;
      return { outcome: 'already-active', why };
    }
    const signalled = await this.workflows.gracefulSwitch(lock, holder.region, { switchId, to, reason, by });
    if (signalled === 'not-running') {
      const why = `the workflow of ${lock} in ${holder.region} is not running; start it with: baton start --region ${holder.region}`;
      return { outcome: 'not-done', why };
    }
    this.say(
      `asked ${holder.region} (pod ${holder.pod}, token ${holder.token}) to hand ${lock} over to ${to}`,
    );
    return (await this.awaitOutcome(holder.region)) ?? this.abort();
  }

  /** `null` when the time is up. */
  private async awaitOutcome(from: string): Promise<SwitchResult | null> {
    for (let turn = 0; performance.now() < this.deadline; turn++) {
      const receipt = await this.readReceipt();
      if (receipt !== null) return this.done(receipt);
      // The workflow's answer costs a workflow task; the receipt is what comes first.
      if (turn % 4 === 3) {
        const ended = await this.askWorkflow(from);
        if (ended !== null) return ended;
      }
      await sleep(this.timing.pollMs);
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

  private async askWorkflow(from: string): Promise<SwitchResult | null> {
    const { lock, switchId } = this.request;
    try {
      const status = await this.workflows.status(lock, from);
      if (status === 'not-running') {
        this.say(`the workflow of ${lock} in ${from} is not running any more`);
        return null;
      }
      const found = status.lastSwitches.find((outcome) => outcome.switchId === switchId);
      if (found === undefined) return null;
      if (found.result === 'done' && found.receipt !== null) return await this.done(found.receipt);
      if (failedResults.includes(found.result))
        return { outcome: 'not-done', why: `${found.result}: ${found.why}` };
      this.say(`${status.phase}: ${found.why}`);
      return null;
    } catch (error) {
      if (!(error instanceof WorkflowsAwayError)) throw error;
      // The pods and etcd carry a switch that has begun to its end without Temporal.
      this.say(`waiting for Temporal: ${error.message}`);
      return null;
    }
  }

  private async done(receipt: Receipt): Promise<SwitchResult> {
    let latest = receipt;
    const until = Math.min(this.deadline, performance.now() + this.timing.firstMessageMs);
    while (latest.firstStartedAt === null && performance.now() < until) {
      await sleep(this.timing.pollMs);
      latest = (await this.readReceipt()) ?? latest;
    }
    const where =
      latest.to === null ? 'released' : `handed over to ${latest.to.region} (pod ${latest.to.pod})`;
    return { outcome: 'done', why: `${this.request.lock} was ${where}`, receipt: latest };
  }

  private async abort(): Promise<SwitchResult> {
    const { lock, switchId } = this.request;
    const seconds = Math.round(this.timing.timeoutMs / 1000);
    const last = this.said === '' ? '' : `; last known: ${this.said}`;
    try {
      await this.store.abortSwitch(switchId, `no outcome within ${seconds} s`);
      const receipt = await this.store.readReceipt(switchId);
      if (receipt !== null) return await this.done(receipt);
      return { outcome: 'not-done', why: `aborted: no outcome within ${seconds} s${last}` };
    } catch (error) {
      const why = `whether ${lock} was handed over is decided in etcd, which does not answer (${(error as Error).message}); see baton status for switch ${switchId}`;
      return { outcome: 'unsettled', why };
    }
  }

  private say(line: string): void {
    if (line === this.said) return;
    this.said = line;
    this.progress(line);
  }
}

function nobodyHolds(lock: string, candidates: LockView['candidates']): string {
  const ready = candidates.filter(({ state, standing }) => state === 'ready' && standing);
  const who = ready.length === 0 ? 'none' : ready.map(({ region, pod }) => `${region}/${pod}`).join(', ');
  return `nobody holds ${lock}, so there is nothing to hand over (ready candidates: ${who})`;
}
