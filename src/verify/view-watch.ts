import type { Logger } from 'pino';
import type { RegionStatus } from '../../workflows/contract';
import type { Config } from '../config/config';
import type { LockAgent } from '../pod/lock-agent';
import type { PodMetrics } from '../telemetry/metrics';
import { viewNames } from '../telemetry/metrics';
import type { Comparison } from './lock-views';
import { readViews } from './view-reader';

export const usualVerifyIntervalMs = 30_000;
/** A disagreement is looked at again sooner: most of them are a change of holder that has just passed. */
const againMs = 5_000;

export interface ViewWatchOptions {
  config: Config;
  agents: ReadonlyMap<string, LockAgent>;
  /** Rejects with an expected error where Temporal is away. */
  status: (lock: string, region: string) => Promise<RegionStatus | 'not-running'>;
  metrics: PodMetrics;
  logger: Logger;
}

/**
 * Compares the views of each lock now and then, for the metrics and the log; changes nothing, and nothing is decided by
 * it. Two pods do it for each lock: the holder, and the first other candidate by name, so that neither the number of pods
 * nor a stuck holder matters.
 */
export class ViewWatch {
  private timer: NodeJS.Timeout | null = null;
  private stopped = false;
  /** Since when, in ms of the monotonic clock, no look has shown agreement. */
  private readonly since = new Map<string, number>();
  private readonly verdicts = new Map<string, Comparison['verdict']>();

  constructor(private readonly options: ViewWatchOptions) {}

  private get intervalMs(): number {
    return this.options.config.verifyIntervalMs ?? usualVerifyIntervalMs;
  }

  /** Again after the interval has changed. */
  start(): void {
    if (this.timer) clearTimeout(this.timer);
    // Not all pods of a deployment at the same moment.
    if (this.intervalMs > 0) this.again(this.intervalMs * (0.5 + Math.random() / 2));
  }

  stop(): void {
    this.stopped = true;
    if (this.timer) clearTimeout(this.timer);
  }

  private again(afterMs: number): void {
    if (this.timer) clearTimeout(this.timer);
    if (!this.stopped) this.timer = setTimeout(() => void this.look(), afterMs);
  }

  private async look(): Promise<void> {
    await Promise.all([...this.options.agents.values()].map((agent) => this.lookAt(agent)));
    if (this.intervalMs === 0) return;
    const soon = this.since.size > 0;
    this.again(soon ? Math.min(againMs, this.intervalMs) : this.intervalMs);
  }

  private async lookAt(agent: LockAgent): Promise<void> {
    const { config, status, logger } = this.options;
    const { lock, settings, store } = agent;
    if (!isOurs(agent)) return this.forget(lock);
    try {
      const found = await readViews(config, settings, { readLock: () => store.read(), status });
      if (!this.stopped) this.note(found, agent.logger);
    } catch (error) {
      logger.error({ err: error, lock }, 'comparing the views failed unexpectedly');
    }
  }

  private note({ lock, verdict, overlap, disagreements, views }: Comparison, logger: Logger): void {
    const { metrics } = this.options;
    const nowMs = performance.now();
    if (verdict !== 'disagree') this.since.delete(lock);
    else if (!this.since.has(lock)) this.since.set(lock, nowMs);
    const ageMs = nowMs - (this.since.get(lock) ?? nowMs);
    metrics.viewChecks.inc({ lock, verdict });
    metrics.viewsDisagree.set({ lock }, verdict === 'disagree' ? 1 : 0);
    metrics.viewsOverlap.set({ lock }, overlap ? 1 : 0);
    metrics.disagreementAge.set({ lock }, ageMs / 1000);
    for (const view of viewNames) {
      const own = views.filter((each) => each.view === view && each.reached !== 'not-configured');
      if (own.length === 0) metrics.viewReached.remove({ lock, view });
      else metrics.viewReached.set({ lock, view }, own.every(({ reached }) => reached === 'yes') ? 1 : 0);
    }
    const before = this.verdicts.get(lock);
    this.verdicts.set(lock, verdict);
    if (verdict === 'disagree')
      logger.warn({ overlap, ageMs: Math.round(ageMs), reason: disagreements.join('; ') }, 'views disagree');
    else if (before === 'disagree') logger.info({ verdict }, 'views do not disagree any more');
  }

  /** Another pod looks at it now. */
  private forget(lock: string): void {
    const { metrics } = this.options;
    this.since.delete(lock);
    this.verdicts.delete(lock);
    for (const gauge of [metrics.viewsDisagree, metrics.viewsOverlap, metrics.disagreementAge])
      gauge.set({ lock }, 0);
    for (const view of viewNames) metrics.viewReached.remove({ lock, view });
  }
}

/** Also while it holds the lock by its own word only: that is worth knowing. */
function isOurs({ tenure, view, identity }: LockAgent): boolean {
  if (tenure !== null || view === null) return true;
  const others = view.candidates.map(({ pod }) => pod).filter((pod) => pod !== view.holder?.pod);
  const [first] = others.toSorted();
  return first === undefined || first === identity.pod;
}
