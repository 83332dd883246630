import { readFileSync } from 'node:fs';
import type { DevStack } from '../dev/dev-stack';
import { processStat } from '../process-stat';

/** Of /proc/<pid>/stat; fixed by the kernel's interface to programs on every architecture that Node runs on. */
const ticksPerSecond = 100;
/** A busy machine has taken more than 5 s to answer. */
const scrapeLimitMs = 20_000;

/** One look at a process. CPU time is the sum since its start. */
export interface ProcessReading {
  cpuSeconds: number;
  /** PSS: shared pages, such as Node's own code, are split among those who map them. RSS where it cannot be read. */
  memoryMb: number;
}

/** `null` when the process is gone, and without /proc. */
export function readProcess(pid: number): ProcessReading | null {
  try {
    const fields = processStat(`/proc/${pid}`);
    // Fields 14 and 15: utime, stime.
    const ticks = Number(fields[11]) + Number(fields[12]);
    return { cpuSeconds: ticks / ticksPerSecond, memoryMb: memoryKb(pid) / 1024 };
  } catch {
    return null;
  }
}

function memoryKb(pid: number): number {
  const read = (file: string, field: RegExp): number =>
    Number(field.exec(readFileSync(`/proc/${pid}/${file}`, 'utf8'))?.[1] ?? Number.NaN);
  try {
    return read('smaps_rollup', /^Pss:\s+(\d+) kB/m);
  } catch {
    return read('status', /^VmRSS:\s+(\d+) kB/m); // An old kernel, or somebody else's process.
  }
}

/** The counters of a Prometheus page, summed over all series that give the same value of `label`. */
export async function scrape(url: string, metric: string, label: string): Promise<Map<string, number>> {
  const response = await fetch(url, { signal: AbortSignal.timeout(scrapeLimitMs) });
  const sums = new Map<string, number>();
  for (const line of (await response.text()).split('\n')) {
    if (!line.startsWith(`${metric}{`)) continue;
    const value = new RegExp(`[{,]${label}="([^"]*)"`).exec(line)?.[1];
    // Temporal's own housekeeping runs in a namespace of its own.
    if (value === undefined || line.includes('namespace="temporal_system"')) continue;
    sums.set(value, (sums.get(value) ?? 0) + Number(line.slice(line.lastIndexOf(' ') + 1)));
  }
  return sums;
}

/**
 * Messages that clients have sent to etcd, by method: each unary request, each keepalive, each request on a watch.
 * Those who only count handled calls miss what goes over a stream.
 */
export async function etcdRequests(addresses: readonly string[]): Promise<Map<string, number>> {
  const sums = new Map<string, number>();
  for (const address of addresses) {
    const own = await scrape(`http://${address}/metrics`, 'grpc_server_msg_received_total', 'grpc_method');
    for (const [method, count] of own) sums.set(method, (sums.get(method) ?? 0) + count);
  }
  return sums;
}

/** Messages from etcd on watches: answers to signs of life, and events. */
export async function etcdWatchAnswers(addresses: readonly string[]): Promise<number> {
  let sum = 0;
  for (const address of addresses)
    sum +=
      (await scrape(`http://${address}/metrics`, 'grpc_server_msg_sent_total', 'grpc_method')).get('Watch') ??
      0;
  return sum;
}

/**
 * The server's own count of what Temporal Cloud bills (metric `action`, by type; docs.temporal.io/cloud/migrate/
 * estimate-actions), `null` for a server that this stack did not start.
 */
export async function temporalActions(stack: DevStack): Promise<Map<string, number> | null> {
  const port = metricsPortOf(stack);
  return port === null ? null : scrape(`http://127.0.0.1:${port}/metrics`, 'action', 'action_type');
}

function metricsPortOf(stack: DevStack): string | null {
  try {
    const args = readFileSync(`/proc/${stack.temporal.pid}/cmdline`, 'utf8').split('\0');
    return args[args.indexOf('--metrics-port') + 1] ?? null;
  } catch {
    return null; // Given by its address, or no /proc.
  }
}

/** What was added to each counter; counters that did not move are left out. */
export function increase(
  before: ReadonlyMap<string, number>,
  after: ReadonlyMap<string, number>,
): Map<string, number> {
  return new Map(
    [...after]
      .map(([name, count]): [string, number] => [name, count - (before.get(name) ?? 0)])
      .filter(([, by]) => by > 0),
  );
}

export const sumOf = (counts: ReadonlyMap<string, number>): number =>
  [...counts.values()].reduce((sum, count) => sum + count, 0);
