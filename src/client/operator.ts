import { setTimeout as sleep } from 'node:timers/promises';
import type { OperatorPort } from '../../activities/ports';
import type { Receipt } from '../../workflows/contract';
import type { CrashTarget, SwitchOrder, SwitchReport } from '../../workflows/operations-contract';
import type { BatonClient } from './baton-client';
import { awaitRecovery, crashTarget } from './crash-recovery';
import { NotSwitchedError, TurnedDownError } from './errors';
import { couldSwitch, failuresOf } from './preflight';

const watchPollMs = 1_000;

/** A client as the activities of scheduled switches, drills and groups use it. */
export class Operator implements OperatorPort {
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

  async awaitElsewhere(
    { lock, region, waitMs }: { lock: string; region: string; waitMs: number },
    signal: AbortSignal,
  ): Promise<string | null> {
    const giveUpAt = performance.now() + waitMs;
    for (;;) {
      const active = await this.client.activeRegion(lock);
      const leftMs = giveUpAt - performance.now();
      if (leftMs <= 0 || (active !== null && active !== region)) return active;
      await sleep(Math.min(watchPollMs, leftMs), undefined, { signal });
    }
  }

  async crashTarget({ lock }: { lock: string }): Promise<CrashTarget> {
    return crashTarget(await (await this.client.lockStore(lock)).read());
  }

  async awaitRecovery(
    { lock, ...crash }: { lock: string; token: number; killedAt: string },
    signal: AbortSignal,
  ): Promise<Receipt | null> {
    const { leaseTtlMs } = this.client.settings(lock);
    return awaitRecovery(await this.client.lockStore(lock), leaseTtlMs, crash, signal);
  }
}
