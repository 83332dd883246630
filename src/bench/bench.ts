import type { DevStack } from '../dev/dev-stack';

/** What one bench of one variant gave for one system. Percentiles are those of `samples`. */
export interface BenchResult {
  /** `switch`, `crash`, `throughput`, `cost`. */
  bench: string;
  /** What was varied: `near`, `40 ms`, `listener killed, TTL 5 s`, `prefetch 500, handler 0 ms, etcd near`. */
  variant: string;
  /** `baton`, `single active consumer`, `etcd election`, `client-go`, `curator`, `amqplib unverified`, … */
  system: string;
  n: number;
  /** `ms`, `msg/s`, `MB`, `%`, `messages`, … */
  unit: string;
  p50: number;
  p95: number;
  p99: number;
  max: number;
  /** In the order in which they were taken; a comparison judges noise by them. */
  samples: number[];
}

export interface Goal {
  /** A sentence: `planned switch near: p50 at or below etcd election's`. */
  goal: string;
  /** As text with its unit, with the peer's figure where the goal is relative to one: `≤ 8.1 ms (etcd election)`. */
  target: string;
  measured: string;
  met: boolean;
}

export interface BenchReport {
  results: BenchResult[];
  goals: Goal[];
  /** Sentences that belong under the table: what was lost or duplicated, what was skipped and why. */
  notes: string[];
  /** Why a bench ended before it was through; what it had measured by then counts. */
  failure?: string;
}

export interface BenchContext {
  /** Fewer rounds, the same code. */
  quick: boolean;
  /** Rounds of a mode: `--rounds N` if given, else `full`, or `quick` with `--quick`. */
  rounds(full: number, quick: number): number;
  /** `--skip curator`: peers not to be installed, started or measured. */
  skips(system: string): boolean;
  /** etcd, RabbitMQ, Temporal and Toxiproxy, all on loopback; shared by all benches of a run. */
  stack: DevStack;
  /** For ledgers, logs, configurations. Removed at the end. */
  folder: string;
  /** One line of progress, on stderr. */
  say: (line: string) => void;
  /** Ends the run early. */
  signal: AbortSignal;
}

export interface Bench {
  name: 'switch' | 'crash' | 'throughput' | 'cost';
  title: string;
  /** Rounds of all systems interleaved, so that noise hits all alike. */
  run(context: BenchContext): Promise<BenchReport>;
}

export function resultOf(
  of: Pick<BenchResult, 'bench' | 'variant' | 'system' | 'unit'>,
  samples: number[],
): BenchResult {
  const sorted = samples.toSorted((a, b) => a - b);
  return {
    ...of,
    n: samples.length,
    p50: percentile(sorted, 50),
    p95: percentile(sorted, 95),
    p99: percentile(sorted, 99),
    max: sorted.at(-1) ?? Number.NaN,
    samples,
  };
}

/** Nearest rank, of samples in ascending order; NaN without any. */
export function percentile(sorted: number[], percent: number): number {
  return sorted[Math.max(0, Math.ceil((percent / 100) * sorted.length) - 1)] ?? Number.NaN;
}
