import { ObservedLanes, spansOfReceipts } from '../../src/dashboard/lanes';
import type { Receipt } from '../../workflows/contract';

const second = (n: number): string => new Date(Date.UTC(2026, 0, 1) + n * 1000).toISOString();
const ms = (n: number): number => Date.parse(second(n));
const receipt = (given: Partial<Receipt> & { id: string; at: string }): Receipt => ({
  lock: 'orders',
  cause: 'switch',
  why: 'test',
  by: 'jest',
  from: null,
  to: null,
  drained: null,
  requeued: null,
  lastFinishedAt: null,
  firstStartedAt: null,
  gapMs: null,
  ...given,
});
const east = { region: 'us-east', pod: 'e', token: 1 };
const west = { region: 'us-west', pod: 'w', token: 2 };
const first = receipt({ id: 'a', at: second(0), cause: 'first', to: east });
const switched = receipt({
  id: 'b',
  at: second(100),
  from: east,
  to: west,
  lastFinishedAt: second(99.99),
  firstStartedAt: second(100.02),
});

test('a switch ends one lane with its last message, shows the gap, and begins the other with its first', () => {
  const lanes = spansOfReceipts([switched, first], new Map([['b', ms(99)]]), 5_000);
  expect(lanes['us-east']).toEqual([
    { state: 'active', from: ms(0), to: ms(99), receipt: 'a' },
    { state: 'draining', from: ms(99), to: ms(99.99) },
    { state: 'gap', from: ms(99.99), to: ms(100.02), receipt: 'b' },
  ]);
  expect(lanes['us-west']).toEqual([{ state: 'active', from: ms(100.02), to: null, receipt: 'b' }]);
});

test('of a holder that died silently the gap is one TTL at most, and says so', () => {
  const takeover = receipt({ id: 'c', at: second(200), cause: 'takeover', from: east, to: west });
  const lanes = spansOfReceipts([takeover, first], new Map(), 5_000);
  expect(lanes['us-east']).toContainEqual({
    state: 'gap',
    from: ms(195),
    to: ms(200),
    receipt: 'c',
    atMost: true,
  });
});

test('an empty queue is no gap: who holds the lock is active before its first message', () => {
  const late = receipt({
    ...switched,
    lastFinishedAt: second(10),
    firstStartedAt: second(900),
    at: second(100),
  });
  const lanes = spansOfReceipts([late, first], new Map(), 5_000);
  expect(lanes['us-west']).toEqual([{ state: 'active', from: ms(100), to: null, receipt: 'b' }]);
  expect(lanes['us-east']).toEqual([{ state: 'active', from: ms(0), to: ms(100), receipt: 'a' }]);
});

test('a release towards nobody is a gap until somebody takes the lock', () => {
  const released = receipt({ id: 'r', at: second(50), cause: 'release', from: east });
  expect(spansOfReceipts([released, first], new Map(), 5_000)['us-east']).toContainEqual({
    state: 'gap',
    from: ms(50),
    to: null,
    receipt: 'r',
  });
});

test('what was looked on at is kept once for each change, and not for ever', () => {
  const lanes = new ObservedLanes(2);
  expect(lanes.note('x', 'standby', 10, 5)).toBe(true);
  expect(lanes.note('x', 'standby', 20)).toBe(false);
  lanes.note('x', 'active', 30);
  expect(lanes.of('x')).toEqual([
    { state: 'standby', from: 5, to: 30 },
    { state: 'active', from: 30, to: null },
  ]);
  lanes.note('x', 'gap', 40);
  expect(lanes.of('x')).toHaveLength(2);
});
