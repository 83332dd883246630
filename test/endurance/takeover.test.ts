import type { HolderEvent } from '../../src/endurance/holder-watch';
import { judgeTakeovers } from '../../src/endurance/takeover';

const event = (lock: string, kind: HolderEvent['kind'], atMs: number): HolderEvent => ({ lock, kind, atMs });
const clean = [
  event('a', 'delete', 9_000),
  event('a', 'put', 9_020),
  event('b', 'delete', 9_500),
  event('b', 'put', 9_600),
];

test('outages count from the kill, takeovers from the deletion', () => {
  expect(judgeTakeovers(['a', 'b'], 1_000, clean)).toEqual({
    ...{ expected: 2, others: 0, again: 0 },
    outageMs: { n: 2, p50: 8_020, p99: 8_600, max: 8_600 },
    takeoverMs: { n: 2, p50: 20, p99: 100, max: 100 },
  });
});

test('a lock that nobody took over, one that moved again, and one that had not to move are each seen', () => {
  const events = [
    ...clean,
    event('c', 'delete', 9_000),
    event('a', 'delete', 9_900),
    event('d', 'put', 9_000),
  ];
  expect(judgeTakeovers(['a', 'b', 'c'], 1_000, events)).toMatchObject({
    ...{ expected: 3, again: 1, others: 1 },
    outageMs: { n: 2 },
  });
});
