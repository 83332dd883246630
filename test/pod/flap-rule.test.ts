import fc from 'fast-check';
import { changesByItself, whyStay } from '../../src/pod/flap-rule';
import type { LockView } from '../../src/pod/lock-store';
import type { ChangeCause, Receipt } from '../../workflows/contract';

const now = Date.parse('2026-01-01T12:00:00.000Z');
const minutesAgo = (minutes: number): string => new Date(now - minutes * 60_000).toISOString();

const change = (minutes: number, cause: ChangeCause, to = 'west', by = 'anna'): Receipt => ({
  id: 'r',
  lock: 'orders',
  cause,
  why: 'because',
  by,
  from: { region: 'east', pod: 'e1', token: 1 },
  to: { region: to, pod: 'w1', token: 2 },
  at: minutesAgo(minutes),
  drained: null,
  requeued: null,
  lastFinishedAt: null,
  firstStartedAt: null,
  gapMs: null,
});
const acked = (minutes: number) => ({ who: 'anna', why: 'looked', when: minutesAgo(minutes) });

test.each<[string, Receipt[], ReturnType<typeof acked> | null, boolean]>([
  ['takeovers in another region', [change(10, 'takeover'), change(50, 'takeover')], null, true],
  [
    'a holder that gave the lock away by itself',
    [change(1, 'switch', 'west', 'e1'), change(2, 'takeover')],
    null,
    true,
  ],
  ['one of them more than an hour ago', [change(10, 'takeover'), change(61, 'takeover')], null, false],
  ['one of them before the ack', [change(10, 'takeover'), change(50, 'takeover')], acked(30), false],
  ['an ack of long ago', [change(10, 'takeover'), change(50, 'takeover')], acked(90), true],
  ['takeovers within a region', [change(1, 'takeover', 'east'), change(2, 'takeover', 'east')], null, false],
  ['switches by a person', [change(1, 'switch'), change(2, 'switch')], null, false],
  ['failbacks', [change(1, 'switch', 'west', 'baton'), change(2, 'switch', 'west', 'baton')], null, false],
  ['pods that were shut down', [change(1, 'shutdown'), change(2, 'shutdown')], null, false],
  [
    'takeovers at an operator’s word',
    [change(1, 'takeover'), change(2, 'force'), change(3, 'takeover'), change(4, 'force')],
    null,
    false,
  ],
])('%s', (_, receipts, ack, stays) => {
  const why = whyStay(receipts, ack, 2, now);
  expect(why !== null).toBe(stays);
});

test('the limit is the number of changes that happen, never one more', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 20 }), fc.nat(40), (limit, count) => {
      const receipts = Array.from({ length: count }, (__, n) => change(n + 1, 'takeover'));
      expect(whyStay(receipts, null, limit, now) !== null).toBe(count >= limit);
    }),
  );
});

test.each([
  ['a takeover elsewhere', { last: { receipt: change(1, 'takeover', 'west') } }, 'east', true],
  ['one within the region', { last: { receipt: change(1, 'takeover', 'west') } }, 'west', false],
  ['the first of all', { last: null }, 'east', false],
  ['after a release', { last: { receipt: { ...change(1, 'release'), to: null } } }, 'west', true],
  [
    'by the region that an operator has named',
    { last: { receipt: { ...change(1, 'force'), to: null } }, successor: { region: 'west' } },
    'west',
    false,
  ],
])('%s changes the region by itself: %#', (_, view, region, expected) => {
  expect(changesByItself({ successor: null, ...view } as unknown as LockView, region)).toBe(expected);
});
