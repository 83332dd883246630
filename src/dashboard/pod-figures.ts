import type { Figures, Totals } from './feed-contract';

/** Buckets as Prometheus has them: upper bound in seconds, and how many were at or below it. */
type Buckets = Map<number, number>;

interface LockCounts {
  processed: number;
  failed: number;
  deadLettered: number;
  inFlight: number | null;
  handler: Buckets;
  guard: Buckets;
}

/** One reading of a pod's endpoint. */
export interface PodReading {
  at: number;
  locks: Map<string, LockCounts>;
}

/** The names of the pods' metrics that the page shows; elsewhere nothing depends on them. */
const names = {
  messages: 'baton_messages_total',
  inFlight: 'baton_in_flight',
  handler: 'baton_message_seconds_bucket',
  guard: 'baton_guard_seconds_bucket',
} as const;

const sample = /^(baton_\w+)\{([^}]*)\} (\S+)$/gm;

/** What a pod says of its locks, from the text of `/metrics`. Lines that mean nothing here are passed over. */
export function readPodMetrics(text: string, at: number): PodReading {
  const locks = new Map<string, LockCounts>();
  for (const [, name, labelText = '', valueText] of text.matchAll(sample)) {
    const labels = new Map(
      [...labelText.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)].map(([, key = '', value = '']) => [key, value]),
    );
    const lock = labels.get('lock');
    const value = Number(valueText);
    if (lock === undefined || !Number.isFinite(value)) continue;
    const counts = locks.get(lock) ?? emptyCounts();
    locks.set(lock, counts);
    if (name === names.messages) {
      const outcome = labels.get('outcome');
      if (outcome === 'processed') counts.processed += value;
      if (outcome === 'failed') counts.failed += value;
      if (outcome === 'dead_lettered') counts.deadLettered += value;
    } else if (name === names.inFlight) counts.inFlight = value;
    else if (name === names.handler || name === names.guard) {
      const buckets = name === names.handler ? counts.handler : counts.guard;
      buckets.set(labels.get('le') === '+Inf' ? Infinity : Number(labels.get('le')), value);
    }
  }
  return { at, locks };
}

const emptyCounts = (): LockCounts => ({
  processed: 0,
  failed: 0,
  deadLettered: 0,
  inFlight: null,
  handler: new Map(),
  guard: new Map(),
});

export const noFigures: Figures = {
  rate: null,
  handlerP50: null,
  handlerP99: null,
  guardP50: null,
  guardP99: null,
  inFlight: null,
};

/** What happened between two readings of the same pod. */
export function figuresBetween(before: PodReading | undefined, now: PodReading, lock: string): Figures {
  const counts = now.locks.get(lock);
  if (!counts) return noFigures;
  const former = before?.locks.get(lock);
  const { inFlight } = counts;
  // A counter that went back belongs to another process.
  if (!before || !former || now.at <= before.at || counts.processed < former.processed)
    return { ...noFigures, inFlight };
  const seconds = (now.at - before.at) / 1000;
  const handler = grownBy(counts.handler, former.handler);
  const guard = grownBy(counts.guard, former.guard);
  return {
    rate: (counts.processed - former.processed) / seconds,
    handlerP50: quantileMs(handler, 0.5),
    handlerP99: quantileMs(handler, 0.99),
    guardP50: quantileMs(guard, 0.5),
    guardP99: quantileMs(guard, 0.99),
    inFlight,
  };
}

export function totalsOf(reading: PodReading | undefined, lock: string): Totals | null {
  const counts = reading?.locks.get(lock);
  if (!counts) return null;
  const { processed, failed, deadLettered } = counts;
  return { processed, failed, deadLettered };
}

const grownBy = (now: Buckets, before: Buckets): Buckets =>
  new Map([...now].map(([bound, count]) => [bound, count - (before.get(bound) ?? 0)]));

/** As `histogram_quantile` does it: linear within a bucket; the last bound for what lies above it. `null` of nothing. */
export function quantileMs(buckets: Buckets, share: number): number | null {
  const sorted = [...buckets].toSorted(([a], [b]) => a - b);
  const total = sorted.at(-1)?.[1] ?? 0;
  if (total <= 0) return null;
  const wanted = share * total;
  let [lowerBound, lowerCount] = [0, 0];
  for (const [bound, count] of sorted) {
    if (count >= wanted) {
      if (bound === Infinity) return lowerBound * 1000;
      const within = count === lowerCount ? 1 : (wanted - lowerCount) / (count - lowerCount);
      return (lowerBound + (bound - lowerBound) * within) * 1000;
    }
    [lowerBound, lowerCount] = [bound, count];
  }
  return lowerBound * 1000;
}
