import { AggregatorRegistry, type MetricObject, type Registry } from 'prom-client';

type Snapshot = MetricObject[];
// In truth a type is a name; prom-client declares it as a number.
const cumulative: readonly unknown[] = ['counter', 'histogram'];

/**
 * Joins the metrics that listener processes send with their statistics. The last counters of a dead process
 * stay in the sum, so that no counter goes down when a listener is killed; its gauges go with it.
 */
export class ListenerMetrics {
  private readonly running = new Map<number, Snapshot>();
  private retired: Snapshot = [];

  /** A snapshot replaces the process's former one. What is not a snapshot is ignored: it came over a pipe. */
  update(pid: number, json: unknown): void {
    if (isSnapshot(json)) this.running.set(pid, json);
  }

  /** The process has exited. To be called before its pid can be used again. */
  retire(pid: number): void {
    const last = this.running.get(pid);
    this.running.delete(pid);
    if (last === undefined) return;
    // Summed at once: any number of dead listeners takes the room of one.
    const counters = last.filter(({ type }) => cumulative.includes(type));
    this.retired = join([this.retired, counters]).getMetricsAsArray();
  }

  /** Names that the agent uses itself, as those of Node's process metrics, get the prefix `baton_listener_`. */
  async text(taken: ReadonlySet<string> = new Set()): Promise<string> {
    const snapshots = [this.retired, ...this.running.values()].map((snapshot) =>
      snapshot.map((metric) => renamed(metric, taken)),
    );
    return join(snapshots).metrics();
  }
}

function isSnapshot(json: unknown): json is Snapshot {
  return (
    Array.isArray(json) &&
    json.every(
      (metric: Partial<MetricObject> | null) => typeof metric?.name === 'string' && 'values' in metric,
    )
  );
}

const join = (snapshots: Snapshot[]): Registry => AggregatorRegistry.aggregate(snapshots);

/** A histogram's values carry names of their own (`…_bucket`, `…_sum`, `…_count`). */
function renamed(metric: MetricObject, taken: ReadonlySet<string>): MetricObject {
  if (!taken.has(metric.name)) return metric;
  const prefix = 'baton_listener_';
  const { values } = metric as unknown as { values: { metricName?: string }[] };
  return {
    ...metric,
    name: `${prefix}${metric.name}`,
    values: values.map((value) =>
      value.metricName === undefined ? value : { ...value, metricName: `${prefix}${value.metricName}` },
    ),
  } as unknown as MetricObject;
}
