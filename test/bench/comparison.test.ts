import { type BenchResult, resultOf } from '../../src/bench/bench';
import { compareResults, comparisonText } from '../../src/bench/comparison';
import { seededRandom } from '../../src/bench/random';

/** Around `center`, as measurements are: most near it, some far above. */
function noisy(center: number, seed: number, n = 30): number[] {
  const random = seededRandom(seed);
  return Array.from({ length: n }, () => {
    const spread = 0.15 * (random() + random() + random() - 1.5);
    const outlier = random() < 0.05 ? 1 + random() : 1;
    return center * (1 + spread) * outlier;
  });
}

const series = (system: string, samples: number[], unit = 'ms', variant = 'near'): BenchResult =>
  resultOf({ bench: 'switch', variant, system, unit }, samples);

const verdicts = (before: BenchResult[], after: BenchResult[]): string[] =>
  compareResults(before, after).map(({ verdict }) => verdict);

test('a slowdown of 30 % is found', () => {
  const before = [series('baton', noisy(10, 1)), series('etcd election', noisy(9, 2))];
  const after = [series('baton', noisy(13, 3)), series('etcd election', noisy(9, 4))];
  const [change] = compareResults(before, after);
  expect(change).toMatchObject({ verdict: 'slower', reference: 'etcd election' });
  expect(change?.ratio).toBeCloseTo(1.3, 0);
  expect(change?.text).toMatch(
    /^switch, near, baton: SLOWER \(p50 .* → .* ms; .* times what it was, measured against etcd election in both runs; noise /,
  );
});

test('a gain of 30 % is found', () => {
  expect(verdicts([series('baton', noisy(13, 1))], [series('baton', noisy(9, 2))])).toEqual(['faster']);
});

test('noise alone is no change, in any of 25 pairs of runs', () => {
  const found = Array.from({ length: 25 }, (_, i) => {
    const before = [series('baton', noisy(10, 4 * i)), series('etcd election', noisy(9, 4 * i + 1))];
    const after = [series('baton', noisy(10, 4 * i + 2)), series('etcd election', noisy(9, 4 * i + 3))];
    return verdicts(before, after)[0];
  });
  expect(found.filter((verdict) => verdict !== 'same')).toEqual([]);
});

test('a machine that is slower for all is no change', () => {
  const before = [series('baton', noisy(10, 1)), series('etcd election', noisy(9, 2))];
  const after = [series('baton', noisy(20, 3)), series('etcd election', noisy(18, 4))];
  expect(verdicts(before, after)).toEqual(['same']);
  // Without a peer nobody can tell.
  expect(verdicts(before.slice(0, 1), after.slice(0, 1))).toEqual(['slower']);
});

test('fewer messages per second are slower', () => {
  const of = (center: number, seed: number): BenchResult[] => [series('baton', noisy(center, seed), 'msg/s')];
  expect(verdicts(of(50_000, 1), of(30_000, 2))).toEqual(['slower']);
  expect(verdicts(of(30_000, 1), of(50_000, 2))).toEqual(['faster']);
});

test('a count that was always 0 and is not any more is worse', () => {
  const before = [series('baton', Array<number>(30).fill(0), 'messages')];
  const after = [series('baton', [...Array<number>(29).fill(0), 1], 'messages')];
  expect(verdicts(before, before)).toEqual(['same']);
  expect(verdicts(before, after)).toEqual(['slower']);
});

test('peers, other variants and too few samples are not judged', () => {
  const peers = [series('curator', noisy(10, 1))];
  expect(verdicts(peers, [series('curator', noisy(30, 2))])).toEqual([]);
  expect(verdicts([series('baton', noisy(10, 1))], [series('baton', noisy(30, 2), 'ms', '40 ms')])).toEqual(
    [],
  );
  expect(verdicts([series('baton', [1, 2])], [series('baton', [8, 9])])).toEqual(['unknown']);
});

test('the same files give the same answer', () => {
  const before = [series('baton', noisy(10, 1))];
  const after = [series('baton', noisy(11, 2))];
  expect(compareResults(before, after)).toEqual(compareResults(before, after));
});

test('the text leads with what changed and counts what did not', () => {
  const before = [series('baton', noisy(10, 1)), series('baton', noisy(10, 2), 'ms', '40 ms')];
  const after = [series('baton', noisy(20, 3)), series('baton', noisy(10, 4), 'ms', '40 ms')];
  const lines = comparisonText(compareResults(before, after), '2026-01-01').split('\n');
  expect(lines[0]).toMatch(/^compared with the run of 2026-01-01 /);
  expect(lines[1]).toMatch(/^- switch, near, baton: SLOWER/);
  expect(lines[2]).toBe('- 1 of 2 figures show no change beyond the noise');
});
