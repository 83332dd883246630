import { type BenchResult, resultOf } from '../../src/bench/bench';
import { crashGoals } from '../../src/bench/crash-goals';
import { CrashSamples } from '../../src/bench/crash-samples';
import { switchGoals } from '../../src/bench/switch-goals';

const variants = [
  { name: 'near', roundTripMs: 0 },
  { name: '40 ms', roundTripMs: 40 },
];
const series = (variant: string, system: string, samples: number[]): BenchResult =>
  resultOf({ bench: 'switch', variant, system, unit: 'ms' }, samples);
const tally = { published: 100, lost: 0, duplicates: 0, overlaps: 0 };

test('the goals of a planned switch are judged by the figures of the same run', () => {
  const results = [
    ...[series('near', 'baton', [7, 8, 9]), series('near', 'etcd election', [8, 8, 8])],
    ...[series('near', 'single active consumer', [1.9, 1.9, 1.9]), series('40 ms', 'baton', [54, 56, 58])],
  ];
  const goals = switchGoals(results, [tally, { ...tally, duplicates: 1 }], variants);
  expect(goals.map(({ met }) => met)).toEqual([true, true, false, false, false]);
  expect(goals.at(-1)?.measured).toBe('0 lost, 1 duplicates of 200 messages');
});

test('a goal whose peer was not measured is left out', () => {
  expect(switchGoals([series('near', 'baton', [7])], [tally], variants).map(({ goal }) => goal)).toEqual([
    'planned switch, near: p99 below three times its p50',
    'planned switch: nothing lost, nothing twice',
  ]);
});

test('the goals of a crash are judged per TTL, and stale messages over all of them', () => {
  const samples = new CrashSamples();
  const add = (fault: string, system: string, gapMs: number, stale = 0): void =>
    samples.add(fault, 3_000, system, { gapMs, stale, capped: false });
  for (const gapMs of [20, 25, 160]) add('listener killed', 'baton', gapMs);
  for (const gapMs of [2_900, 2_940, 3_800]) add('pod killed', 'baton', gapMs);
  for (const gapMs of [2_800, 2_810, 2_820]) add('pod killed', 'etcd election', gapMs);
  add('frozen and thawed', 'baton', 3_000);
  add('frozen and thawed', 'client-go', 3_000, 700);
  const goals = crashGoals(samples.results(), [3_000, 5_000]);
  expect(goals.map(({ goal, met }) => [goal.split(':')[0], met])).toEqual([
    ['listener killed', true],
    ['listener killed', false],
    ['pod killed, TTL 3 s', true],
    ['pod killed, TTL 3 s', false],
    ['pod killed, TTL 3 s', true],
    ['frozen past the TTL and thawed', true],
  ]);
});

test('a fault that was not recovered from stands with the limit, and is said', () => {
  const samples = new CrashSamples();
  for (let i = 0; i < 2; i++)
    samples.add('event loop blocked', 5_000, 'curator', { gapMs: 12_000, stale: 0, capped: true });
  expect(samples.isHopeless('event loop blocked', 5_000, 'curator', 2)).toBe(true);
  expect(samples.isHopeless('event loop blocked', 5_000, 'curator', 3)).toBe(false);
  expect(samples.notes()).toEqual([
    'crash, event loop blocked, TTL 5 s, curator: in 2 of 2 rounds not recovered within 12 s, which stands as the gap',
  ]);
});
