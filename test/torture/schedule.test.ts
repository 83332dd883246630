import fc from 'fast-check';
import { type FaultName, faultNames } from '../../src/torture/fault-catalogue';
import { faultMakers } from '../../src/torture/faults/makers';
import { excludeEachOther, planSchedule, scheduleText } from '../../src/torture/schedule';

const ttlMs = 5_000;
const plan = (seed: number, minutes = 10, faults: readonly FaultName[] = faultNames) =>
  planSchedule({ seed, minutes, faults, ttlMs });
const seeds = fc.integer({ min: 0, max: 2 ** 32 - 1 });

test('the same seed gives the same schedule, and another seed another one', () => {
  fc.assert(
    fc.property(seeds, (seed) => {
      expect(plan(seed)).toEqual(plan(seed));
      expect(scheduleText(plan(seed))).not.toBe(scheduleText(plan(seed + 1)));
    }),
    { numRuns: 50 },
  );
});

test('a short run has the same beginning as a long one of the same seed', () => {
  const short = plan(7, 2);
  expect(plan(7, 20).slice(0, short.length)).toEqual(short);
});

test('every kind comes before any comes a third time, and every kind can be done', () => {
  const counts = new Map<string, number>();
  for (const { kind } of plan(3, 30).flatMap(({ faults }) => faults)) {
    counts.set(kind, (counts.get(kind) ?? 0) + 1);
    if (counts.get(kind) === 3) break;
  }
  expect([...counts.keys()].toSorted()).toEqual(faultNames.toSorted());
  expect(Object.keys(faultMakers).toSorted()).toEqual(faultNames.toSorted());
});

test('the faults of a pair do not undo each other, and there are pairs, single faults and switches', () => {
  let [pairs, singles, switches] = [0, 0, 0];
  for (const round of plan(11, 120)) {
    const [first, second] = round.faults;
    switches += round.switches.length;
    if (!second) {
      singles++;
      continue;
    }
    pairs++;
    expect(excludeEachOther(first!.kind, second.kind)).toBe(false);
    expect(first!.role !== null && second.role === first!.role).toBe(false);
  }
  expect(Math.min(pairs, singles, switches)).toBeGreaterThan(20);
});

test('only the given kinds are drawn, also when there is but one', () => {
  const kinds = plan(5, 5, ['pod-kill']).flatMap(({ faults }) => faults.map(({ kind }) => kind));
  expect(new Set(kinds)).toEqual(new Set(['pod-kill']));
});

test('freezes are shorter or longer than the TTL, as their names say', () => {
  const faults = plan(1, 240).flatMap((round) => round.faults);
  const lengths = (end: string) =>
    faults.filter(({ kind }) => kind.endsWith(end)).map((each) => each.lastsMs);
  expect(Math.max(...lengths('-freeze-short'))).toBeLessThan(ttlMs);
  expect(Math.min(...lengths('-freeze-long'))).toBeGreaterThan(ttlMs);
});
