import type { OperatorActivities, SwitchOrder, SwitchReport } from '../../workflows/operations-contract';
import type { BatonClient } from './baton-client';
import { NotSwitchedError, TurnedDownError } from './errors';
import { couldSwitch, failuresOf } from './preflight';

/** A client as the activities of scheduled switches, drills and groups use it. */
export class Operator implements OperatorActivities {
  constructor(private readonly client: BatonClient) {}

  async switchLock(order: SwitchOrder & { switchId: string }): Promise<SwitchReport> {
    const { lock, switchId, to } = order;
    try {
      const { outcome, why, receipt } = await this.client.switchTo(order);
      return { lock, switchId, to, outcome, why, receipt };
    } catch (error) {
      // Everything else is no answer: Temporal asks again, under the same id.
      if (!(error instanceof NotSwitchedError)) throw error;
      return { lock, switchId, to, outcome: 'not-done', why: error.message, receipt: null };
    }
  }

  async whyNotSwitch({ lock, to }: { lock: string; to: string }): Promise<string | null> {
    try {
      const answer = await this.client.preflight(lock, to);
      return answer.holder?.region === to || couldSwitch(answer) ? null : failuresOf(answer);
    } catch (error) {
      if (error instanceof TurnedDownError) return error.message;
      throw error;
    }
  }

  activeRegion({ lock }: { lock: string }): Promise<string | null> {
    return this.client.activeRegion(lock);
  }
}
