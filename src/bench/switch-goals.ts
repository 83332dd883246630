import type { BenchResult, Goal } from './bench';
import { figure } from './figure';
import type { Tally } from './measured-system';

const allowanceMs = 15;

/** Item 1's goals, with the peers' figures of the same run; a goal whose peer was not measured is left out. */
export function switchGoals(
  results: BenchResult[],
  tallies: Tally[],
  variants: readonly { name: string; roundTripMs: number }[],
): Goal[] {
  const goals: Goal[] = [];
  const of = (variant: string, system: string): BenchResult | undefined =>
    results.find(
      (each) => each.bench === 'switch' && each.variant === variant && each.system === system && each.n > 0,
    );
  const near = of('near', 'baton');
  const election = of('near', 'etcd election');
  const single = of('near', 'single active consumer');
  if (near && election)
    goals.push({
      goal: "planned switch, near: p50 at or below etcd election's",
      target: `≤ ${figure(election.p50)} ms (etcd election's p50)`,
      measured: `${figure(near.p50)} ms`,
      met: near.p50 <= election.p50,
    });
  if (near)
    goals.push({
      goal: 'planned switch, near: p99 below three times its p50',
      target: `< ${figure(3 * near.p50)} ms (3 × p50)`,
      measured: `${figure(near.p99)} ms`,
      met: near.p99 < 3 * near.p50,
    });
  if (near && single)
    goals.push({
      goal: "planned switch, near: p50 within four times the single active consumer's",
      target: `≤ ${figure(4 * single.p50)} ms (4 × ${figure(single.p50)} ms)`,
      measured: `${figure(near.p50)} ms`,
      met: near.p50 <= 4 * single.p50,
    });
  for (const { name, roundTripMs } of variants) {
    const far = of(name, 'baton');
    if (roundTripMs === 0 || !far) continue;
    goals.push({
      goal: `planned switch, ${name}: p50 at most one round trip plus ${allowanceMs} ms`,
      target: `≤ ${roundTripMs + allowanceMs} ms`,
      measured: `${figure(far.p50)} ms`,
      met: far.p50 <= roundTripMs + allowanceMs,
    });
  }
  if (tallies.length > 0) {
    const lost = tallies.reduce((sum, each) => sum + each.lost, 0);
    const duplicates = tallies.reduce((sum, each) => sum + each.duplicates, 0);
    const published = tallies.reduce((sum, each) => sum + each.published, 0);
    goals.push({
      goal: 'planned switch: nothing lost, nothing twice',
      target: '0 lost, 0 duplicates',
      measured: `${lost} lost, ${duplicates} duplicates of ${published} messages`,
      met: lost === 0 && duplicates === 0,
    });
  }
  return goals;
}
