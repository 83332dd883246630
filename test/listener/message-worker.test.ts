import { setTimeout as sleep } from 'node:timers/promises';
import type { Channel, ConsumeMessage } from 'amqplib';
import { Guard } from '../../src/listener/guard';
import type { Handler } from '../../src/listener/handler';
import { MessageMetrics } from '../../src/listener/message-metrics';
import { MessageWorker } from '../../src/listener/message-worker';
import { eventually } from '../support/eventually';
import { lockSettings, silentLogger } from '../pod/pod-fixture';

const holder = { token: 7, leaseId: '99' };
const channel = {} as Channel;
const guards: Guard[] = [];
afterEach(() => {
  for (const guard of guards.splice(0)) guard.end();
});

/** One worker on a queue of this test's imagination; counting an attempt takes as long as the test says. */
class Bench {
  readonly handled: string[] = [];
  readonly settled: string[] = [];
  readonly cleared: string[] = [];
  reading: Promise<void> = Promise.resolve();
  counting: Promise<void> = Promise.resolve();
  counted = 0;
  readonly guard: Guard;
  readonly worker: MessageWorker;

  constructor(
    concurrency: number,
    handler: (body: string) => Promise<void> | void = () => {},
    verificationMaxAgeMs = 60_000,
  ) {
    this.guard = new Guard({
      ...holder,
      reader: { readHolder: () => this.reading.then(() => ({ revision: holder.token, holder })) },
      deadlineNs: process.hrtime.bigint() + 600_000_000_000n,
      marginMs: 1_000,
      verificationMaxAgeMs,
      abortLeadMs: 100,
      onAbort: () => {},
      onOver: () => {},
    });
    guards.push(this.guard);
    const settings = lockSettings('orders');
    const handle: Handler = (message) => {
      this.handled.push(message.body.toString());
      return handler(message.body.toString());
    };
    const note = (what: string) => (message: ConsumeMessage) => {
      this.settled.push(`${what} ${message.content.toString()}`);
      return true;
    };
    this.worker = new MessageWorker({
      settings: { ...settings, queue: { ...settings.queue, concurrency } },
      region: 'us-east',
      pod: 'a',
      token: holder.token,
      guard: this.guard,
      consumer: {
        ack: note('ack'),
        requeue: note('requeue'),
        deadLetter: () => Promise.resolve(),
        isCurrent: () => true,
      },
      attempts: {
        begin: async () => {
          this.counted += 1;
          await this.counting;
          return 1;
        },
        clear: (id) => {
          this.cleared.push(id);
          return Promise.resolve();
        },
      },
      handler: handle,
      metrics: new MessageMetrics('us-east').forLock('orders'),
      logger: silentLogger,
      onFirstMessage: () => {},
    });
  }

  deliver(body: string, redelivered = false): void {
    const message = {
      content: Buffer.from(body),
      fields: { redelivered, routingKey: 'orders', deliveryTag: 1 },
      properties: { headers: {}, messageId: body },
    };
    this.worker.accept(message as unknown as ConsumeMessage, channel);
  }
}

test.each([1, 3])(
  'redelivered messages are all worked on by a handler that never waits (slots: %p)',
  async (slots) => {
    const bench = new Bench(slots);
    const bodies = Array.from({ length: 20 }, (_, index) => String(index));
    for (const body of bodies) bench.deliver(body, true);
    await eventually(() => expect(bench.handled).toEqual(bodies));
    expect(bench.settled).toEqual(bodies.map((body) => `ack ${body}`));
    expect(bench.cleared).toHaveLength(20);
  },
);

test('others are worked on while a redelivered message is being counted, also with one slot', async () => {
  const bench = new Bench(1);
  let count!: () => void;
  bench.counting = new Promise((resolve) => (count = resolve));
  bench.deliver('old', true);
  for (const body of ['a', 'b', 'c']) bench.deliver(body);
  await eventually(() => expect(bench.handled).toEqual(['a', 'b', 'c']));
  expect(bench.worker.busy).toBe(1);
  count();
  await eventually(() => expect(bench.handled).toEqual(['a', 'b', 'c', 'old']));
  expect(bench.worker.busy).toBe(0);
});

test('what waits for a read on its way asks for no other when its neighbour has ended', async () => {
  const bench = new Bench(2);
  const answers: (() => void)[] = [];
  const unanswered = (): Promise<void> => new Promise((resolve) => answers.push(resolve));
  bench.reading = unanswered();
  bench.deliver('first');
  await eventually(() => expect(bench.guard.readsBegun).toBe(1));
  bench.reading = unanswered();
  bench.deliver('second');
  await eventually(() => expect(bench.guard.readsBegun).toBe(2));
  answers[0]?.();
  await eventually(() => expect(bench.settled).toEqual(['ack first']));
  await new Promise((resolve) => setTimeout(resolve, 50));
  expect(bench.guard.readsBegun).toBe(2);
  answers[1]?.();
  await eventually(() => expect(bench.settled).toEqual(['ack first', 'ack second']));
});

test('what has waited longer for its turn than a verification may be old asks again', async () => {
  const bench = new Bench(1, (body) => (body === 'slow' ? sleep(200) : undefined), 100);
  bench.deliver('slow');
  bench.deliver('late');
  await eventually(() => expect(bench.settled).toEqual(['ack slow', 'ack late']));
  // Both came before the first read, which served both.
  expect(bench.guard.readsBegun).toBe(2);
});

test('the first count of a tenure waits for the guard’s read, which etcd’s sync to disk would hold up', async () => {
  const bench = new Bench(2);
  let read!: () => void;
  bench.reading = new Promise((resolve) => (read = resolve));
  bench.deliver('old', true);
  bench.deliver('new');
  await new Promise((resolve) => setImmediate(resolve));
  expect(bench.counted).toBe(0);
  // So that a drain waits for it all the same.
  expect(bench.worker.busy).toBe(1);
  read();
  await eventually(() => expect(bench.handled.toSorted()).toEqual(['new', 'old']));
  expect(bench.counted).toBe(1);
});

test('but not for long', async () => {
  const bench = new Bench(1);
  bench.reading = new Promise(() => {});
  bench.deliver('old', true);
  await eventually(() => expect(bench.counted).toBe(1));
  expect(bench.handled).toEqual([]);
});

test('a redelivered message is not counted before a slot is free', async () => {
  let end!: () => void;
  const bench = new Bench(1, (body) =>
    body === 'slow' ? new Promise((resolve) => (end = resolve)) : undefined,
  );
  bench.deliver('slow');
  await eventually(() => expect(bench.handled).toEqual(['slow']));
  bench.deliver('old', true);
  await new Promise((resolve) => setTimeout(resolve, 50));
  expect(bench.counted).toBe(0);
  end();
  await eventually(() => expect(bench.handled).toEqual(['slow', 'old']));
});

/** A redelivered message is counted, and waits for the one slot until `end`. */
async function countedWithoutSlot(): Promise<{ bench: Bench; end: () => void }> {
  let count!: () => void;
  let end!: () => void;
  const bench = new Bench(1, (body) =>
    body === 'slow' ? new Promise((resolve) => (end = resolve)) : undefined,
  );
  bench.counting = new Promise((resolve) => (count = resolve));
  bench.deliver('old', true);
  bench.deliver('slow');
  await eventually(() => expect(bench.handled).toEqual(['slow']));
  count();
  await eventually(() => expect(bench.worker.busy).toBe(1));
  return { bench, end };
}

test('one that was counted and found no slot goes back, without its count', async () => {
  const { bench } = await countedWithoutSlot();
  bench.guard.draining = true;
  bench.worker.giveBack();
  expect(bench.settled).toEqual(['requeue old']);
  expect(bench.cleared).toHaveLength(1);
  expect(bench.handled).toEqual(['slow']);
});

test('one that was counted starts no more when the tenure ends while it waits for a slot', async () => {
  const { bench, end } = await countedWithoutSlot();
  bench.guard.end();
  end();
  await eventually(() => expect(bench.worker.busy).toBe(0));
  expect(bench.handled).toEqual(['slow']);
});

test('a drain that begins while one is being counted waits for the count, and gives it back', async () => {
  let count!: () => void;
  const bench = new Bench(1);
  bench.counting = new Promise((resolve) => (count = resolve));
  bench.deliver('old', true);
  await eventually(() => expect(bench.counted).toBe(1));
  bench.guard.draining = true;
  bench.worker.giveBack();
  await expect(bench.worker.idle(20)).resolves.toBe(false);
  count();
  await expect(bench.worker.idle(5_000)).resolves.toBe(true);
  expect(bench.settled).toEqual(['requeue old']);
  expect(bench.cleared).toHaveLength(1);
  expect(bench.handled).toEqual([]);
});
