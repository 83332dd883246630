import { percentile } from '../bench/bench';
import type { HolderEvent } from './holder-watch';

export interface Percentiles {
  n: number;
  p50: number;
  p99: number;
  max: number;
}

export interface Takeovers {
  /** Locks that the dead pod held. */
  expected: number;
  /** From the kill until another pod holds the lock. */
  outageMs: Percentiles;
  /** Of that, from etcd's letting go until another pod holds it. */
  takeoverMs: Percentiles;
  /** Changes of holder of locks that the dead pod did not hold. */
  others: number;
  /** Changes of a lock that had been taken over already. */
  again: number;
}

/** Judges what was seen after a pod's death at `killedAtMs`. `lost`: the locks it held. */
export function judgeTakeovers(
  lost: readonly string[],
  killedAtMs: number,
  events: readonly HolderEvent[],
): Takeovers {
  const outages: number[] = [];
  const takeovers: number[] = [];
  let again = 0;
  for (const lock of lost) {
    const own = events.filter((event) => event.lock === lock);
    const deletion = own.find(({ kind }) => kind === 'delete');
    const put = own.find(({ kind, atMs }) => kind === 'put' && atMs >= (deletion?.atMs ?? Infinity));
    if (!deletion || !put) continue;
    outages.push(put.atMs - killedAtMs);
    takeovers.push(put.atMs - deletion.atMs);
    again += own.filter(({ atMs }) => atMs > put.atMs).length;
  }
  const wasLost = new Set(lost);
  const others = events.filter(({ lock }) => !wasLost.has(lock)).length;
  return {
    ...{ expected: lost.length, again, others },
    outageMs: percentilesOf(outages),
    takeoverMs: percentilesOf(takeovers),
  };
}

/** All NaN but `n` without values. */
export function percentilesOf(values: readonly number[]): Percentiles {
  const sorted = values.toSorted((a, b) => a - b);
  return {
    n: sorted.length,
    p50: percentile(sorted, 50),
    p99: percentile(sorted, 99),
    max: sorted.at(-1) ?? Number.NaN,
  };
}
