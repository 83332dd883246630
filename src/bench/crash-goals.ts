import { type BenchResult, type Goal, resultOf } from './bench';
import { gapVariant, noTtl, staleVariant } from './crash-samples';
import { figure } from './figure';
import { warmSpareName } from './warm-spare';

/** Item 2's goals, with the peers' figures of the same run. */
export function crashGoals(results: BenchResult[], ttlsMs: number[]): Goal[] {
  const of = (variant: string, system: string): BenchResult | undefined =>
    results.find((each) => each.variant === variant && each.system === system && each.n > 0);
  const baton = (variant: (ttlMs: number) => string): BenchResult[] =>
    ttlsMs.flatMap((ttlMs) => of(variant(ttlMs), 'baton') ?? []);
  const goals: Goal[] = [];

  // The TTL plays no part in it, so all of them are one series.
  const listeners = baton((ttlMs) => gapVariant('listener killed', ttlMs));
  if (listeners.length > 0) {
    const { p50, p99 } = resultOf(
      listeners[0]!,
      listeners.flatMap(({ samples }) => samples),
    );
    const reference = of(gapVariant('listener killed', noTtl), warmSpareName);
    const median = atMost('listener killed: p50 at most 30 ms', p50, 30);
    if (reference) median.measured += `; ${figure(reference.p50)} ms without any lock`;
    goals.push(median, atMost('listener killed: p99 at most 150 ms', p99, 150));
  }
  for (const ttlMs of ttlsMs) {
    const killed = of(gapVariant('pod killed', ttlMs), 'baton');
    if (!killed) continue;
    const where = `pod killed, TTL ${ttlMs / 1000} s`;
    goals.push(
      atMost(`${where}: p50 at most 0.85 TTL + 0.4 s`, killed.p50, 0.85 * ttlMs + 400),
      atMost(`${where}: max at most TTL + 0.75 s`, killed.max, ttlMs + 750),
    );
    const election = of(gapVariant('pod killed', ttlMs), 'etcd election');
    if (!election) continue;
    const limit = 1.05 * election.p50;
    const target = `≤ ${figure(limit)} ms (1.05 × ${figure(election.p50)} ms)`;
    goals.push({
      ...atMost(`${where}: p50 at most 1.05 times etcd election's`, killed.p50, limit),
      target,
    });
  }
  const stale = baton(staleVariant).flatMap(({ samples }) => samples);
  if (stale.length > 0) {
    const sum = stale.reduce((total, each) => total + each, 0);
    goals.push({
      goal: 'frozen past the TTL and thawed: nothing processed by the stale side',
      target: '0 messages',
      measured: `${sum} messages in ${stale.length} rounds`,
      met: sum === 0,
    });
  }
  return goals;
}

function atMost(goal: string, measuredMs: number, limitMs: number): Goal {
  return {
    goal,
    target: `≤ ${figure(limitMs)} ms`,
    measured: `${figure(measuredMs)} ms`,
    met: measuredMs <= limitMs,
  };
}
