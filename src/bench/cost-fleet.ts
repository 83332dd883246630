import { regionWorkflowId } from '../../workflows/contract';
import type { DemoPod } from '../demo/demo-pods';
import { PodFleet, type PodFleetOptions, regions } from './pod-fleet';

export const prefetch = 200;

export type FleetOptions = Omit<PodFleetOptions, 'handler' | 'queueSettings' | 'environment'>;

/** Two regions with one pod each, which share `locks` locks; the first region holds them all. */
export class CostFleet extends PodFleet {
  readonly active: DemoPod;
  readonly standby: DemoPod;

  constructor(options: FleetOptions) {
    const queueSettings = { concurrency: prefetch, prefetch };
    super({ ...options, handler: 'bench/cost-handler', queueSettings });
    this.active = this.addPod(regions[0], `${regions[0]}-a`);
    this.standby = this.addPod(regions[1], `${regions[1]}-a`);
  }

  /** The queue of its first lock. */
  get queue(): string {
    return this.locks[0]!;
  }

  /** The ids of these locks' workflows in the region that holds them. */
  activeWorkflows(locks: string[]): string[] {
    return locks.map((lock) => regionWorkflowId(lock, regions[0]));
  }

  /**
   * Returns when the first region holds every lock and has a spare, and the second is ready for every
   * lock; or at the limit.
   * @returns the seconds it took from the start of the first pod; `null` when the limit came first.
   */
  async start(limitMs: number): Promise<number | null> {
    const giveUpAt = performance.now() + limitMs;
    const began = performance.now();
    const all = this.locks.length;
    await this.startRegions();
    this.active.start();
    const first = await this.until(giveUpAt, ({ held }) => (held.get(regions[0]) ?? 0) >= all);
    this.standby.start();
    const both = await this.until(giveUpAt, (survey) => this.readyOf(survey, this.standby) >= all);
    const spare = await this.until(giveUpAt, () => this.processesOf(this.active).length === 3);
    return first && both && spare ? (performance.now() - began) / 1000 : null;
  }
}
