import { Counter, Gauge, Registry, type Metric } from 'prom-client';

/** What one lock's listener has counted since the process began. Plain numbers, as each message counts. */
export interface MessageCounts {
  processed: number;
  /** Attempts that threw. */
  failed: number;
  deadLettered: number;
  /** Returned to the queue without having been worked on. */
  requeued: number;
  /** Not started because the tenure was over. */
  refused: number;
  reads: { held: number; lost: number; unknown: number };
  /** Handlers running now. */
  inFlight: number;
  lastFinishedAt: number | null;
}

/** The metrics of one lock: counts to be changed directly, histograms to be observed. */
export interface LockMetrics {
  counts: MessageCounts;
  handlerSeconds: LockHistogram;
  guardSeconds: LockHistogram;
}

/** What one lock has observed. prom-client's own `observe` costs 2 µs, as much as reading a message off the wire. */
export class LockHistogram {
  private readonly counts: number[];
  private sum = 0;

  /** `bounds` in ascending order; each bucket includes its upper one. */
  constructor(
    private readonly lock: string,
    private readonly bounds: readonly number[],
  ) {
    this.counts = Array.from({ length: bounds.length + 1 }, () => 0);
  }

  observe(seconds: number): void {
    const { bounds } = this;
    let bucket = 0;
    while (bucket < bounds.length && seconds > (bounds[bucket] as number)) bucket += 1;
    this.counts[bucket] = (this.counts[bucket] as number) + 1;
    this.sum += seconds;
  }

  /** As prom-client has them: each bucket counts the smaller ones, too. */
  values(name: string): object[] {
    const { lock } = this;
    let total = 0;
    const buckets = this.counts.map((count, bucket) => ({
      metricName: `${name}_bucket`,
      labels: { le: this.bounds[bucket] ?? '+Inf', lock },
      value: (total += count),
    }));
    return [
      ...buckets,
      { metricName: `${name}_sum`, labels: { lock }, value: this.sum },
      { metricName: `${name}_count`, labels: { lock }, value: total },
    ];
  }
}

/** One histogram of all locks, as the registry reads it. */
class LockHistograms {
  private readonly ofLocks: LockHistogram[] = [];

  constructor(
    private readonly name: string,
    private readonly help: string,
    private readonly bounds: readonly number[],
    registry: Registry,
  ) {
    // The registry calls nothing but `get`, which is all that its type leaves out to construct.
    registry.registerMetric(this as unknown as Metric);
  }

  forLock(lock: string): LockHistogram {
    const histogram = new LockHistogram(lock, this.bounds);
    this.ofLocks.push(histogram);
    return histogram;
  }

  async get(): Promise<object> {
    const { name, help } = this;
    const values = this.ofLocks.flatMap((histogram) => histogram.values(name));
    return { name, help, type: 'histogram', aggregator: 'sum', values };
  }
}

/** The listener's registry. The counts get into it only when it is read. */
export class MessageMetrics {
  readonly registry = new Registry();
  private readonly locks = new Map<string, MessageCounts>();
  private readonly handlerSeconds = new LockHistograms(
    'baton_message_seconds',
    'Time in the handler',
    [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 60],
    this.registry,
  );
  private readonly guardSeconds = new LockHistograms(
    'baton_guard_seconds',
    'Time from receiving a message until a read that began after it has shown this tenure as holder',
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5],
    this.registry,
  );

  constructor(region: string) {
    const { registry, locks } = this;
    const messages = new Counter({
      name: 'baton_messages_total',
      help: 'Messages by outcome; a message can count several times: failed, failed, dead_lettered',
      labelNames: ['lock', 'region', 'outcome'] as const,
      registers: [],
      collect() {
        this.reset();
        for (const [lock, counts] of locks) {
          this.inc({ lock, region, outcome: 'processed' }, counts.processed);
          this.inc({ lock, region, outcome: 'failed' }, counts.failed);
          this.inc({ lock, region, outcome: 'dead_lettered' }, counts.deadLettered);
          this.inc({ lock, region, outcome: 'requeued' }, counts.requeued);
          this.inc({ lock, region, outcome: 'refused' }, counts.refused);
        }
      },
    });
    const guardReads = new Counter({
      name: 'baton_guard_reads_total',
      help: "The guard's reads of the holder key",
      labelNames: ['lock', 'outcome'] as const,
      registers: [],
      collect() {
        this.reset();
        for (const [lock, { reads }] of locks)
          for (const outcome of ['held', 'lost', 'unknown'] as const)
            this.inc({ lock, outcome }, reads[outcome]);
      },
    });
    const inFlight = new Gauge({
      name: 'baton_in_flight',
      help: 'Handlers running',
      labelNames: ['lock'] as const,
      registers: [],
      collect() {
        for (const [lock, counts] of locks) this.set({ lock }, counts.inFlight);
      },
    });
    registry.registerMetric(messages);
    registry.registerMetric(guardReads);
    registry.registerMetric(inFlight);
  }

  forLock(lock: string): LockMetrics {
    const counts: MessageCounts = {
      processed: 0,
      failed: 0,
      deadLettered: 0,
      requeued: 0,
      refused: 0,
      reads: { held: 0, lost: 0, unknown: 0 },
      inFlight: 0,
      lastFinishedAt: null,
    };
    this.locks.set(lock, counts);
    return {
      counts,
      handlerSeconds: this.handlerSeconds.forLock(lock),
      guardSeconds: this.guardSeconds.forLock(lock),
    };
  }
}
