import { setTimeout as sleep } from 'node:timers/promises';
import type { OperatorPort } from '../../activities/ports';
import type { CrashTarget, SwitchOrder, SwitchReport } from '../../workflows/operations-contract';
import type { Receipt } from '../../workflows/contract';

/** What scheduled switches, drills and groups are told, as a test wants it. */
export class FakeOperator implements OperatorPort {
  readonly regions = new Map<string, string>();
  readonly switches: (SwitchOrder & { switchId: string })[] = [];
  /** Locks whose switch is refused, with the reason. */
  readonly refusals = new Map<string, string>();
  readonly obstacles = new Map<string, string>();
  gapMs = 12;
  target: CrashTarget = { holder: null, standbys: [] };
  /** Of whoever takes over from a killed holder. */
  recovery: Receipt | null = null;
  /** Called before each switch. */
  before: (order: SwitchOrder) => Promise<void> | void = () => undefined;

  async switchLock(order: SwitchOrder & { switchId: string }): Promise<SwitchReport> {
    const { lock, to, switchId, reason, by } = order;
    await this.before(order);
    const why = this.refusals.get(lock);
    if (why !== undefined) return { lock, switchId, to, outcome: 'not-done', why, receipt: null };
    this.switches.push(order);
    const from = this.regions.get(lock) ?? 'nobody';
    this.regions.set(lock, to);
    const at = new Date().toISOString();
    const receipt: Receipt = {
      id: switchId,
      lock,
      cause: 'switch',
      why: reason,
      by,
      from: { region: from, pod: 'p', token: 1 },
      to: { region: to, pod: 'q', token: 2 },
      at,
      drained: 0,
      requeued: 0,
      lastFinishedAt: at,
      firstStartedAt: at,
      gapMs: this.gapMs,
    };
    return { lock, switchId, to, outcome: 'done', why: `${lock} was handed over`, receipt };
  }

  async whyNotSwitch({ lock }: { lock: string }): Promise<string | null> {
    return this.obstacles.get(lock) ?? null;
  }

  async activeRegion({ lock }: { lock: string }): Promise<string | null> {
    return this.regions.get(lock) ?? null;
  }

  async awaitElsewhere(
    { lock, region, waitMs }: { lock: string; region: string; waitMs: number },
    signal: AbortSignal,
  ): Promise<string | null> {
    const giveUpAt = performance.now() + waitMs;
    while (performance.now() < giveUpAt && this.regions.get(lock) === region)
      await sleep(50, undefined, { signal });
    return this.regions.get(lock) ?? null;
  }

  async crashTarget(): Promise<CrashTarget> {
    return this.target;
  }

  async awaitRecovery(): Promise<Receipt | null> {
    return this.recovery;
  }
}
