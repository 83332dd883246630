import type { Channel, ConsumeMessage } from 'amqplib';
import { AdvanceConsumer } from '../../src/listener/advance-consumer';

const channel = {} as Channel;
const message = {} as ConsumeMessage;
const mine = { leaseId: '99', token: 8 };

let ahead: AdvanceConsumer;
let reads: number;
let holder: { token: number; leaseId: string };
let found: [number, bigint][];

beforeEach(() => {
  jest.useFakeTimers();
  reads = 0;
  holder = { leaseId: '11', token: 7 };
  found = [];
  ahead = new AdvanceConsumer({
    reader: {
      readHolder: () => {
        reads += 1;
        return Promise.resolve(holder);
      },
    },
    leaseId: mine.leaseId,
    afterToken: 7,
    deadlineNs: process.hrtime.bigint() + 60_000_000_000n,
    marginMs: 1_000,
    onHolder: (token, readBeganNs) => found.push([token, readBeganNs]),
  });
  ahead.ask();
});
afterEach(() => {
  ahead.stop();
  jest.useRealTimers();
});

test('asks seldom while it holds nothing, as no read could verify anything', async () => {
  await jest.advanceTimersByTimeAsync(100);
  expect(reads).toBeLessThanOrEqual(5);
  ahead.hold(message, channel);
  await jest.advanceTimersByTimeAsync(100);
  expect(reads).toBeGreaterThanOrEqual(40);
});

test('asks as soon as it holds something, with a read that verifies it', async () => {
  await jest.advanceTimersByTimeAsync(5);
  holder = mine;
  const before = reads;
  ahead.hold(message, channel);
  await jest.advanceTimersByTimeAsync(1);
  expect(reads).toBe(before + 1);
  const [held] = ahead.handTo(() => {});
  expect(found).toEqual([[mine.token, expect.any(BigInt)]]);
  expect(found[0]![1]).toBeGreaterThanOrEqual(held!.receivedNs);
});

test('finds out that it is holder also while nothing comes', async () => {
  holder = mine;
  await jest.advanceTimersByTimeAsync(50);
  expect(found).toHaveLength(1);
});

test('asks no more once it was told to stop, whatever comes', async () => {
  await jest.advanceTimersByTimeAsync(30);
  ahead.stop();
  const before = reads;
  ahead.hold(message, channel);
  await jest.advanceTimersByTimeAsync(200);
  expect(reads).toBe(before);
});
