import { collectDefaultMetrics, Counter, Gauge, Registry } from 'prom-client';
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
export type AcquisitionOutcome = (typeof acquisitionOutcomes)[number];
export type ExtensionOutcome = (typeof extensionOutcomes)[number];
export type TenureEvent = (typeof tenureEvents)[number];

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
  readonly flapping = new Gauge({
    name: 'baton_automatic_changes_stopped',
    help: '1 after too many automatic changes of region: no more until baton ack.',
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
  constructor({ version, region, locks }: { version: string; region: string; locks: string[] }) {
    collectDefaultMetrics({ register: this.registry });
    new Gauge({
      name: 'baton_info',
      help: 'Version of the agent',
      labelNames: ['version'] as const,
      registers: [this.registry],
    }).set({ version }, 1);
    for (const lock of locks) {
      for (const outcome of acquisitionOutcomes) this.acquisitions.inc({ lock, region, outcome }, 0);
      for (const outcome of extensionOutcomes) this.extensions.inc({ lock, region, outcome }, 0);
      for (const event of tenureEvents) this.tenureTransitions.inc({ lock, region, event }, 0);
      this.holder.set({ lock }, 0);
      this.candidateReady.set({ lock }, 0);
      this.flapping.set({ lock }, 0);
    }
  }

  /** The tenure ended: what describes a running one must not stay at its last value. */
  clearTenure(lock: string): void {
    this.holder.set({ lock }, 0);
    this.leaseMargin.remove({ lock });
    this.token.remove({ lock });
  }

  /** Prometheus text of the agent's metrics and its listeners'. */
  async text(listeners?: ListenerMetrics): Promise<string> {
    const own = await this.registry.metrics();
    if (listeners === undefined) return own;
    const names = new Set(this.registry.getMetricsAsArray().map(({ name }) => name));
    return `${own}\n${await listeners.text(names)}`;
  }
}
