import type { Reading } from '../../src/endurance/leak-meters';
import { judgeSoak, leakRules } from '../../src/endurance/soak-verdict';

const rules = leakRules({ locks: 2, historyLimit: 500 });

/** Forty readings of one value, as a function of how far the soak is, from 0 to 1. */
function soakOf(name: string, value: (progress: number, index: number) => number): Reading[] {
  return Array.from({ length: 40 }, (_, i) => ({ atMs: i * 1_000, values: { [name]: value(i / 39, i) } }));
}

const leaksOf = (readings: Reading[]): string[] =>
  judgeSoak(readings, rules).flatMap(({ name, leaks }) => (leaks ? [name] : []));

test.each([
  ['etcd leases', 4, 1],
  ['etcd watchers', 4, 1],
  ['RabbitMQ connections', 8, 1],
  ['RabbitMQ channels', 14, 1],
  ['processes', 5, 1],
  ['open workflows', 4, 1],
  ['agent descriptors', 82, 4],
  ['agent memory, us-east-a', 120, 20],
  ['etcd leases of a day', 2, 4],
  ['longest history', 400, 400],
])('a planted leak of %s, from %d by %d, is found; that it stands still is not one', (name, from, by) => {
  expect(leaksOf(soakOf(name, () => from))).toEqual([]);
  expect(leaksOf(soakOf(name, (progress) => from + Math.round(by * 1.4 * progress)))).toEqual([name]);
});

test.each([
  ['processes', (_: number, i: number) => (i === 38 ? 9 : 5)],
  ['agent descriptors', (progress: number) => 82 + Math.round(3 * progress)],
  ['agent descriptors', (_: number, i: number) => (i > 32 && i < 39 ? 90 : 82)],
  ['RabbitMQ connections', (_: number, i: number) => (i < 7 ? 5 : 7)],
  ['agent memory, us-east-a', (_: number, i: number) => (i % 5) * 10 + 100],
  ['longest history', (_: number, i: number) => (i % 20) * 30],
  ['etcd watchers', (progress: number) => Math.round(8 - 4 * progress)],
])('%s may breathe: a moment above or below, a saw, a few more, fewer', (name, value) => {
  expect(leaksOf(soakOf(name, value))).toEqual([]);
});

test('each row has the medians of its quarters, the extremes, and what was allowed', () => {
  const [row] = judgeSoak(
    soakOf('agent memory, us-east-a', (_, i) => 200 + i),
    rules,
  );
  expect(row).toMatchObject({ first: 204.5, last: 234.5, min: 200, max: 239, leaks: true, limit: null });
  expect(row?.allowed).toBeCloseTo(20.45);
});

test('what could not be read in the last quarter is not called flat, and too few readings are not judged', () => {
  const gone = soakOf('etcd leases', () => 4).map((reading, i) =>
    i < 30 ? reading : { ...reading, values: {} },
  );
  expect(leaksOf(gone)).toEqual(['etcd leases']);
  expect(() => judgeSoak(gone.slice(0, 3), rules)).toThrow('3 readings cannot be judged');
});
