import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { ChangeCause } from '../../workflows/contract';
import type { DrillReport } from '../../workflows/operations-contract';
import type { LockSettings } from '../config/config';
import type { ListenerMetrics } from './listener-metrics';

const acquisitionOutcomes = ['won', 'lost', 'refused', 'unknown'] as const;
const extensionOutcomes = ['confirmed', 'unconfirmed', 'unknown', 'lost'] as const;
const tenureEvents = [
  'start',
  'drain',
  'hand_over',
  'release',
  'lost',
  'deadline',
  'listener_exit',
  'restart',
] as const;
/** Of the changes of holder after which there can be a gap; `first` has nobody before it. */
const changeCauses = ['takeover', 'switch', 'shutdown', 'listener-restart'] as const satisfies ChangeCause[];
export const drillKinds = ['planned', 'crash'] as const;
/** `missed`: it was done, and took longer than its objective. `failed`: it could not be done. */
export const drillOutcomes = ['passed', 'missed', 'failed', 'ended'] as const;
export const viewNames = ['etcd', 'workflow', 'pod', 'broker'] as const;
export const reloadOutcomes = ['applied', 'unchanged', 'refused'] as const;
export const verdicts = ['agree', 'disagree', 'unknown'] as const;
/** From a warm hand-over to an etcd that lost its leader. Seconds. */
const gapBuckets = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 30, 60, 300];
export type AcquisitionOutcome = (typeof acquisitionOutcomes)[number];
export type ExtensionOutcome = (typeof extensionOutcomes)[number];
export type TenureEvent = (typeof tenureEvents)[number];

export type MeasuredLock = Pick<LockSettings, 'name' | 'leaseTtlMs' | 'beatMs'>;

/** What the agent counts. One registry per agent, so that several in one test process stay apart. */
export class PodMetrics {
  readonly registry = new Registry();

  readonly acquisitions = new Counter({
    name: 'baton_acquisitions_total',
    help: 'Attempts to become holder, by what came of them',
    labelNames: ['lock', 'region', 'outcome'] as const,
    registers: [this.registry],
  });
  readonly extensions = new Counter({
    name: 'baton_extensions_total',
    help: 'Lease extensions; only confirmed ones move the deadline',
    labelNames: ['lock', 'region', 'outcome'] as const,
    registers: [this.registry],
  });
  readonly tenureTransitions = new Counter({
    name: 'baton_tenure_transitions_total',
    help: 'What happened to the tenures of this pod',
    labelNames: ['lock', 'region', 'event'] as const,
    registers: [this.registry],
  });
  readonly receipts = new Counter({
    name: 'baton_receipts_total',
    help: 'Changes of holder decided by this pod, by cause',
    labelNames: ['lock', 'cause'] as const,
    registers: [this.registry],
  });
  readonly leaseMargin = new Gauge({
    name: 'baton_lease_margin_seconds',
    help: 'Time until the deadline of the running tenure; absent without one',
    labelNames: ['lock'] as const,
    registers: [this.registry],
  });
  readonly holder = new Gauge({
    name: 'baton_holder',
    help: '1 while this pod holds the lock',
    labelNames: ['lock'] as const,
    registers: [this.registry],
  });
  readonly leaseTtl = new Gauge({
    name: 'baton_lease_ttl_seconds',
    help: 'Configured TTL of the lease (leaseTtlMs)',
    labelNames: ['lock'] as const,
    registers: [this.registry],
  });
  readonly beatPeriod = new Gauge({
    name: 'baton_beat_period_seconds',
    help: 'Configured time between two beats of the region workflow (beatMs)',
    labelNames: ['lock'] as const,
    registers: [this.registry],
  });
  readonly beatAge = new Gauge({
    name: 'baton_beat_age_seconds',
    help: 'Time since the last beat, or since the tenure began; absent without one',
    labelNames: ['lock'] as const,
    registers: [this.registry],
  });
  readonly beatInterval = new Histogram({
    name: 'baton_beat_interval_seconds',
    help: 'Time between two beats that reached the holder',
    labelNames: ['lock'] as const,
    buckets: [1, 2, 5, 7.5, 10, 12.5, 15, 20, 30, 60, 300],
    registers: [this.registry],
  });
  readonly gap = new Histogram({
    name: 'baton_gap_seconds',
    help: 'From the last message of the old holder to the first one here, where both are known',
    labelNames: ['lock', 'cause'] as const,
    buckets: gapBuckets,
    registers: [this.registry],
  });
  readonly overlap = new Histogram({
    name: 'baton_overlap_seconds',
    help: 'By how much the first message here began before the last one of the old holder ended, by their clocks; 0 else',
    labelNames: ['lock', 'cause'] as const,
    buckets: [0, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5],
    registers: [this.registry],
  });
  readonly recovery = new Histogram({
    name: 'baton_recovery_seconds',
    help: 'From when this pod saw the lock without a holder, or its listener dead, until it consumed',
    labelNames: ['lock', 'cause'] as const,
    buckets: gapBuckets,
    registers: [this.registry],
  });
  readonly drain = new Histogram({
    name: 'baton_drain_seconds',
    help: 'From the order to drain until nothing was in flight any more',
    labelNames: ['lock'] as const,
    buckets: gapBuckets,
    registers: [this.registry],
  });
  readonly standby = new Gauge({
    name: 'baton_standby',
    help: '1 while this pod does not hold the lock and could take it over at once',
    labelNames: ['lock'] as const,
    registers: [this.registry],
  });
  readonly drills = new Counter({
    name: 'baton_drills_total',
    help: 'Drills that ended in this pod',
    labelNames: ['lock', 'kind', 'outcome'] as const,
    registers: [this.registry],
  });
  readonly viewsDisagree = new Gauge({
    name: 'baton_views_disagree',
    help: '1 while etcd, workflow, pods and broker do not say the same of the lock',
    labelNames: ['lock'] as const,
    registers: [this.registry],
  });
  readonly viewsOverlap = new Gauge({
    name: 'baton_views_overlap',
    help: '1 while two at once say that they hold the lock, or consume its queue',
    labelNames: ['lock'] as const,
    registers: [this.registry],
  });
  readonly disagreementAge = new Gauge({
    name: 'baton_views_disagreement_age_seconds',
    help: 'Since when the views have not agreed in any check; 0 while they agree',
    labelNames: ['lock'] as const,
    registers: [this.registry],
  });
  readonly viewReached = new Gauge({
    name: 'baton_view_reached',
    help: '1 where the last check could ask this view everywhere; absent where it is not configured',
    labelNames: ['lock', 'view'] as const,
    registers: [this.registry],
  });
  readonly viewChecks = new Counter({
    name: 'baton_view_checks_total',
    help: 'Comparisons of the views, by what came of them',
    labelNames: ['lock', 'verdict'] as const,
    registers: [this.registry],
  });
  readonly configReloads = new Counter({
    name: 'baton_config_reloads_total',
    help: 'Configurations read again on SIGHUP, by what came of it',
    labelNames: ['outcome'] as const,
    registers: [this.registry],
  });
  readonly configCurrent = new Gauge({
    name: 'baton_config_last_reload_successful',
    help: '1 unless the configuration that was read last could not be used, or needs a restart',
    registers: [this.registry],
  });
  readonly flapping = new Gauge({
    name: 'baton_automatic_changes_stopped',
    help: '1 after too many automatic changes of region: no more until baton ack',
    labelNames: ['lock'],
    registers: [this.registry],
  });
  readonly candidateReady = new Gauge({
    name: 'baton_candidate_ready',
    help: '1 while this pod is warm and could take over',
    labelNames: ['lock'] as const,
    registers: [this.registry],
  });
  readonly token = new Gauge({
    name: 'baton_token',
    help: 'Fencing token of the running tenure; absent without one',
    labelNames: ['lock'] as const,
    registers: [this.registry],
  });

  /** Every series of `locks` starts at 0: a rate needs the value before the first event. */
  constructor({ version, region, locks }: { version: string; region: string; locks: MeasuredLock[] }) {
    for (const outcome of reloadOutcomes) this.configReloads.inc({ outcome }, 0);
    this.configCurrent.set(1);
    collectDefaultMetrics({ register: this.registry });
    new Gauge({
      name: 'baton_build_info',
      help: 'Version of the agent and of the Node that runs it; always 1',
      labelNames: ['version', 'node_version', 'region'] as const,
      registers: [this.registry],
    }).set({ version, node_version: process.versions.node, region }, 1);
    for (const { name: lock, leaseTtlMs, beatMs } of locks) {
      for (const outcome of acquisitionOutcomes) this.acquisitions.inc({ lock, region, outcome }, 0);
      for (const outcome of extensionOutcomes) this.extensions.inc({ lock, region, outcome }, 0);
      for (const event of tenureEvents) this.tenureTransitions.inc({ lock, region, event }, 0);
      for (const kind of drillKinds)
        for (const outcome of drillOutcomes) this.drills.inc({ lock, kind, outcome }, 0);
      for (const verdict of verdicts) this.viewChecks.inc({ lock, verdict }, 0);
      for (const histogram of [this.gap, this.overlap, this.recovery])
        for (const cause of changeCauses) histogram.zero({ lock, cause });
      this.drain.zero({ lock });
      this.beatInterval.zero({ lock });
      for (const gauge of [
        this.holder,
        this.candidateReady,
        this.standby,
        this.flapping,
        this.viewsDisagree,
        this.viewsOverlap,
        this.disagreementAge,
      ])
        gauge.set({ lock }, 0);
      this.leaseTtl.set({ lock }, leaseTtlMs / 1000);
      this.beatPeriod.set({ lock }, beatMs / 1000);
    }
  }

  /** The tenure ended: what describes a running one must not stay at its last value. */
  clearTenure(lock: string): void {
    this.holder.set({ lock }, 0);
    this.leaseMargin.remove({ lock });
    this.beatAge.remove({ lock });
    this.token.remove({ lock });
  }

  drill(report: DrillReport): void {
    const { lock, kind } = report;
    this.drills.inc({ lock, kind, outcome: drillOutcome(report) });
  }

  /** Prometheus text of the agent's metrics and its listeners'. */
  async text(listeners?: ListenerMetrics): Promise<string> {
    const own = await this.registry.metrics();
    if (listeners === undefined) return own;
    const names = new Set(this.registry.getMetricsAsArray().map(({ name }) => name));
    return `${own}\n${await listeners.text(names)}`;
  }
}

/** A drill fails when it could not be done, and when what was measured is above its objective. */
function drillOutcome(report: DrillReport): (typeof drillOutcomes)[number] {
  const { outcome, objectiveMs } = report;
  const measured =
    report.kind === 'crash'
      ? [report.recoveryMs]
      : [report.there?.receipt?.gapMs, report.back?.receipt?.gapMs];
  const isAbove = measured.some((ms) => ms != null && objectiveMs !== null && ms > objectiveMs);
  return outcome === 'failed' && isAbove ? 'missed' : outcome;
}
