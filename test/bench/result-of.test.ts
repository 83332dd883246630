import { percentile, resultOf } from '../../src/bench/bench';
import { figure } from '../../src/bench/figure';

const place = { bench: 'switch', variant: 'near', system: 'baton', unit: 'ms' };

test('percentiles are taken by nearest rank, whatever the order of the samples', () => {
  const samples = Array.from({ length: 100 }, (_, i) => 100 - i);
  expect(resultOf(place, samples)).toMatchObject({ n: 100, p50: 50, p95: 95, p99: 99, max: 100 });
  expect(percentile([1, 2, 3, 4], 50)).toBe(2);
  expect(percentile([7], 99)).toBe(7);
});

test('samples stay in the order in which they were taken', () => {
  expect(resultOf(place, [3, 1, 2]).samples).toEqual([3, 1, 2]);
});

test('without samples there is no figure', () => {
  const { n, p50, max } = resultOf(place, []);
  expect([n, p50, max]).toEqual([0, Number.NaN, Number.NaN]);
  expect(figure(p50)).toBe('–');
});

test('figures show three digits that matter', () => {
  expect([0, 3, 0.4123, 8.136, 86.24, 512.4, 5230.4].map(figure)).toEqual([
    ...['0', '3', '0.41', '8.14', '86.2', '512', '5230'],
  ]);
});
