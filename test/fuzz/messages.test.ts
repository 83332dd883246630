import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { connect, type ConsumeMessage, type Options } from 'amqplib';
import { redeliveries } from '../../src/listener/attempt-count';
import { ListenerFixture } from '../listener/listener-fixture';
import { eventually } from '../support/eventually';
import { sharedServers } from '../support/servers';
import { fuzzLimitMs, fuzzRuns } from './fuzz-runs';
import { hostileJson, hostileNumber, hostileText } from './hostile-values';

jest.setTimeout(fuzzLimitMs(120_000));

/** What AMQP's tables can carry, with the types that JavaScript has no literal for. */
const field = fc.oneof(
  fc.boolean(),
  // The publisher's own library cannot write these as they are.
  hostileNumber.filter(Number.isFinite),
  hostileText,
  fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes)),
  fc.constant(null),
  fc.date({ noInvalidDate: true }).map((date) => ({ '!': 'timestamp', value: date.getTime() })),
  fc.constantFrom(
    { '!': 'decimal', value: { digits: 12_345, places: 3 } },
    { '!': 'float', value: 1.5 },
    { '!': 'int64', value: Number.MIN_SAFE_INTEGER },
    { '!': 'byte', value: -1 },
    [1, 'x', { deep: [null, [true]] }],
    { nested: { table: { of: 'tables' } } },
  ),
);
const headerName = fc.oneof(
  { weight: 3, arbitrary: fc.constantFrom('x-delivery-count', 'x-acquired-count', 'x-baton-attempts') },
  {
    weight: 3,
    arbitrary: fc.constantFrom('x-baton-reason', 'x-baton-token', 'token', 'fencing-token', 'x-death'),
  },
  { weight: 2, arbitrary: fc.constantFrom('redelivered', '__proto__', 'constructor', 'x-first-death-queue') },
  { weight: 1, arbitrary: hostileText.filter((text) => Buffer.byteLength(text) < 256) },
);
const short = hostileText.filter((text) => Buffer.byteLength(text) < 256);
const properties = fc.record(
  {
    headers: fc.dictionary(headerName, field, { maxKeys: 6 }),
    messageId: short,
    contentType: fc.oneof(short, fc.constantFrom('application/json', 'text/html; charset=x')),
    contentEncoding: fc.constantFrom('gzip', 'x'),
    correlationId: short,
    replyTo: short,
    type: short,
    appId: short,
    priority: fc.constantFrom(0, 9, 255),
    timestamp: fc.constantFrom(0, 1, 2 ** 40),
  },
  { requiredKeys: [] },
);
const body = fc.oneof(
  { weight: 4, arbitrary: fc.uint8Array().map((bytes) => Buffer.from(bytes)) },
  { weight: 2, arbitrary: hostileJson.map((value) => Buffer.from(JSON.stringify(value) ?? '')) },
  { weight: 3, arbitrary: fc.nat().map((id) => Buffer.from(JSON.stringify({ id }))) },
  { weight: 1, arbitrary: fc.constant(Buffer.alloc(0)) },
);

let fixture: ListenerFixture | null = null;
afterEach(() => fixture?.close());

test('every message reaches the handler or the dead letters, under the token of the tenure', async () => {
  const given = await new ListenerFixture({ queue: { maxDeliveries: 2 } }).open();
  fixture = given;
  const child = await given.forkWarm();
  const token = await given.startTenure(child);
  const { name } = given.settings.queue;
  let published = 0;
  /** What the client library cannot write, or the broker does not take, cannot come from anybody. */
  const send = async (content: Buffer, more: Options.Publish): Promise<void> => {
    const connection = await connect(sharedServers().rabbitmq);
    connection.on('error', () => undefined);
    try {
      const channel = await connection.createConfirmChannel();
      channel.on('error', () => undefined);
      channel.sendToQueue(name, content, { persistent: true, ...more });
      await channel.waitForConfirms();
      published += 1;
    } catch {
      return;
    }
    await connection.close();
  };
  const asked = fuzzRuns(150);
  for (const [content, more] of fc.sample(fc.tuple(body, properties), asked)) await send(content, more);
  expect(published).toBeGreaterThan(100);
  await send(randomBytes(8_000_000), { headers: { token: 1 } });
  const forged = { token: 1, 'x-baton-token': 1, 'x-delivery-count': 99 };
  await send(Buffer.from('{"id": 424242}'), { headers: forged });

  const dead = (): Promise<number> =>
    given.channel.checkQueue(given.settings.queue.deadLetterExchange).then((it) => it.messageCount);
  await eventually(async () => {
    const ends = given.notes('end').length;
    expect([ends + (await dead()), await given.ready()]).toEqual([published, 0]);
  }, 60_000);
  expect(child.hasExited).toBe(false);
  expect(await dead()).toBeGreaterThan(0);
  const notes = given.notes();
  expect(notes.filter((note) => note.token !== token)).toEqual([]);
  // The broker had not delivered it before, whatever its header says.
  expect(notes.filter(({ id }) => id === 424_242)).toMatchObject([{ redeliveries: 0 }, { redeliveries: 0 }]);
  await child.drain(token);
});

test("how often it was delivered is the broker's word, whatever the sender's header says", () => {
  fixture = null;
  const message = (redelivered: boolean, count: unknown): ConsumeMessage =>
    ({
      fields: { redelivered },
      properties: { headers: { 'x-delivery-count': count } },
    }) as unknown as ConsumeMessage;
  fc.assert(
    fc.property(fc.oneof(hostileNumber, hostileJson), (count) => {
      expect(redeliveries(message(false, count))).toBe(0);
      expect(redeliveries(message(true, count))).toBeGreaterThanOrEqual(1);
    }),
    fuzzRuns(500),
  );
  expect(redeliveries(message(true, 3))).toBe(3);
});
