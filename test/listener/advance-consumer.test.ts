import type { Channel, ConsumeMessage } from 'amqplib';
import { AdvanceConsumer } from '../../src/listener/advance-consumer';
import type { Holder, HolderReading } from '../../src/listener/guard';

const channel = {} as Channel;
const message = {} as ConsumeMessage;
const mine = { leaseId: '99', token: 8 };
const before: HolderReading = { revision: 7, holder: { leaseId: '11', token: 7 } };
const after: HolderReading = { revision: 8, holder: mine };

let ahead: AdvanceConsumer;
let reads: number;
/** What the reads that begin now will have seen. */
let state: HolderReading;
/** With it, reads stay on their way until it is resolved. */
let onTheWay: Promise<void>;
let watched: ((holder: Holder | null) => void) | null;
let found: [number, bigint][];

function begin({ watch }: { watch: boolean }): void {
  ahead = new AdvanceConsumer({
    reader: {
      readHolder: () => {
        reads += 1;
        const seen = state;
        return onTheWay.then(() => seen);
      },
    },
    watch: watch
      ? (seen) => {
          watched = seen;
          return { close: () => (watched = null) };
        }
      : null,
    leaseId: mine.leaseId,
    afterToken: 7,
    deadlineNs: process.hrtime.bigint() + 60_000_000_000n,
    marginMs: 1_000,
    onHolder: (token, readBeganNs) => found.push([token, readBeganNs]),
  });
  ahead.begin();
}

/** Returns a moment after it was received. */
const hold = (): bigint => {
  ahead.hold(message, channel);
  return process.hrtime.bigint();
};
const pass = (ms: number): Promise<void> => jest.advanceTimersByTimeAsync(ms);

beforeEach(() => {
  jest.useFakeTimers();
  reads = 0;
  state = before;
  onTheWay = Promise.resolve();
  watched = null;
  found = [];
});
afterEach(() => {
  ahead.stop();
  jest.useRealTimers();
});

test.each([
  ['without a watch', false, 40, 52],
  ['with a watch', true, 9, 12],
])(
  '%s, asks seldom while it holds nothing, as no read could verify anything',
  async (_, watch, least, most) => {
    begin({ watch });
    await pass(100);
    expect(reads).toBeLessThanOrEqual(5);
    reads = 0;
    hold();
    await pass(100);
    expect(reads).toBeGreaterThanOrEqual(least);
    expect(reads).toBeLessThanOrEqual(most);
  },
);

test.each([false, true])(
  'asks as soon as it holds something, with a read that verifies it (watch: %s)',
  async (watch) => {
    begin({ watch });
    await pass(5);
    state = after;
    const asked = reads;
    hold();
    await pass(1);
    expect(reads).toBe(asked + 1);
    const [held] = ahead.handTo(() => {});
    expect(found).toEqual([[mine.token, expect.any(BigInt)]]);
    expect(found[0]![1]).toBeGreaterThanOrEqual(held!.receivedNs);
  },
);

test.each([
  ['without a watch, asks nothing before it holds something', false, 0],
  ['with a watch, asks at once: a change counts only after a read', true, 1],
])('%s', async (_, watch, expected) => {
  begin({ watch });
  await pass(5);
  expect(reads).toBe(expected);
});

test('finds out that it is holder also while nothing comes', async () => {
  begin({ watch: false });
  state = after;
  await pass(50);
  expect(found).toHaveLength(1);
});

test('asks no more once it was told to stop, whatever comes', async () => {
  begin({ watch: true });
  await pass(30);
  ahead.stop();
  expect(watched).toBeNull();
  const asked = reads;
  hold();
  await pass(200);
  expect(reads).toBe(asked);
});

describe('a change that the watch tells of', () => {
  beforeEach(() => begin({ watch: true }));

  test('verifies what came before a read that was too early to show it', async () => {
    const receivedNs = hold();
    await pass(1);
    watched?.(mine);
    expect(found).toEqual([[mine.token, expect.any(BigInt)]]);
    expect(found[0]![1]).toBeGreaterThanOrEqual(receivedNs);
    expect(watched).toBeNull();
  });

  test('verifies nothing that came after it, however late it is told', async () => {
    await pass(1);
    hold();
    watched?.(mine);
    const [held] = ahead.handTo(() => {});
    expect(found).toEqual([[mine.token, expect.any(BigInt)]]);
    expect(found[0]![1]).toBeLessThan(held!.receivedNs);
  });

  test.each<[string, HolderReading]>([
    ['the former holder', before],
    ['nobody, before the change', { revision: 7, holder: null }],
    ['the change', after],
  ])('is told again with a read that was on its way and showed %s: it verifies more', async (_, seen) => {
    await pass(1);
    let arrive!: () => void;
    onTheWay = new Promise((resolve) => (arrive = resolve));
    state = seen;
    const receivedNs = hold();
    await pass(1);
    watched?.(mine);
    expect(found).toEqual([[mine.token, expect.any(BigInt)]]);
    expect(found[0]![1]).toBeLessThan(receivedNs);
    arrive();
    await pass(1);
    expect(found).toHaveLength(2);
    expect(found[1]).toEqual([mine.token, expect.any(BigInt)]);
    expect(found[1]![1]).toBeGreaterThanOrEqual(receivedNs);
  });

  test.each<[string, HolderReading, Holder]>([
    ['was committed before the read', { revision: 8, holder: null }, mine],
    ['is on another lease', before, { leaseId: '12', token: 8 }],
    ['is of a former token', before, { leaseId: '99', token: 7 }],
  ])('counts for nothing when it %s', async (_, seen, change) => {
    state = seen;
    hold();
    await pass(1);
    watched?.(change);
    await pass(30);
    expect(found).toEqual([]);
  });

  test('counts for nothing before any read has answered', async () => {
    ahead.stop();
    onTheWay = new Promise(() => {});
    begin({ watch: true });
    hold();
    await pass(1);
    watched?.(mine);
    await pass(30);
    expect(found).toEqual([]);
  });

  test.each([null, { leaseId: '12', token: 9 }])(
    'counts for nothing when another one came after it, before a read answered: %j',
    async (next) => {
      ahead.stop();
      let arrive!: () => void;
      onTheWay = new Promise((resolve) => (arrive = resolve));
      begin({ watch: true });
      hold();
      await pass(1);
      watched?.(mine);
      watched?.(next);
      arrive();
      await pass(1);
      expect(found).toEqual([]);
    },
  );

  test('counts for nothing after the deadline', async () => {
    hold();
    await pass(1);
    await pass(60_000);
    watched?.(mine);
    expect(found).toEqual([]);
  });
});
