import { setTimeout as sleep } from 'node:timers/promises';
import { connect, type Channel, type ChannelModel, type ConsumeMessage } from 'amqplib';
import pino from 'pino';
import type { QueueSettings } from '../../src/config/config';
import { connectionName } from '../../src/listener/connection-name';
import { AmqpConsumer } from '../../src/listener/amqp-consumer';
import { eventually } from '../support/eventually';
import { LossyProxy } from '../support/lossy-proxy';
import { sharedServers, uniqueName } from '../support/servers';
import { ListenerFixture } from './listener-fixture';

describe('the consumer of one queue', () => {
  let queue: QueueSettings;
  let broker: ChannelModel;
  let channel: Channel;
  let proxy: LossyProxy;
  let consumer: AmqpConsumer | null;
  const events: string[] = [];
  const received: string[] = [];

  beforeEach(async () => {
    const name = uniqueName('consumer');
    queue = {
      name,
      declare: true,
      deadLetterExchange: `${name}.dead`,
      deliveryLimit: 100,
      prefetch: 10,
      concurrency: 5,
      maxDeliveries: 3,
      heartbeatSeconds: 5,
    };
    const { host } = new URL(sharedServers().rabbitmq);
    proxy = await LossyProxy.start(host);
    broker = await connect(sharedServers().rabbitmq);
    channel = await broker.createChannel();
    consumer = null;
    events.length = received.length = 0;
  });

  afterEach(async () => {
    await consumer?.close();
    await channel.deleteQueue(queue.name);
    await channel.deleteQueue(queue.deadLetterExchange);
    await channel.deleteExchange(queue.deadLetterExchange);
    await broker.close();
    await proxy.close();
  });

  function open(): AmqpConsumer {
    const url = new URL(sharedServers().rabbitmq);
    url.host = proxy.address;
    const opened = new AmqpConsumer({
      url: url.href,
      queue,
      connectionName: connectionName(queue.name, 'us-east', 'us-east-a'),
      logger: pino({ enabled: false }),
    });
    opened.on('warm', () => events.push('warm'));
    opened.on('cold', (why) => events.push(`cold: ${why}`));
    opened.on('interrupted', (why, lost) =>
      events.push(`interrupted (${lost ? 'channel lost' : 'channel kept'}): ${why}`),
    );
    opened.open();
    consumer = opened;
    return opened;
  }
  const takeAndAck = (message: ConsumeMessage, from: Channel): void => {
    received.push(message.content.toString());
    consumer?.ack(message, from);
  };
  const warm = (times = 1): Promise<void> =>
    eventually(() => expect(events.filter((event) => event === 'warm')).toHaveLength(times));
  const send = (text: string): boolean =>
    channel.sendToQueue(queue.name, Buffer.from(text), { persistent: true });

  it('declares queue, dead-letter exchange and dead-letter queue, and consumes only when told to', async () => {
    const opened = open();
    await warm();
    send('a');
    await sleep(200);
    expect(received).toEqual([]);
    await opened.consume(takeAndAck);
    await eventually(() => expect(received).toEqual(['a']));
    channel.publish(queue.deadLetterExchange, 'any', Buffer.from('dead'));
    await eventually(async () => {
      expect((await channel.checkQueue(queue.deadLetterExchange)).messageCount).toBe(1);
    });
  });

  it('says in one sentence that the queue exists with other arguments, and is warm once that is repaired', async () => {
    await channel.assertQueue(queue.name, { durable: true });
    open();
    await eventually(() =>
      expect(events[0]).toMatch(
        /^cold: queue ".*" exists with other arguments than configured; delete it, .*inequivalent arg 'x-/,
      ),
    );
    await channel.deleteQueue(queue.name);
    await warm();
  });

  it('only looks for the queue when it shall not declare it', async () => {
    queue = { ...queue, declare: false };
    open();
    await eventually(() =>
      expect(events[0]).toMatch(/^cold: queue ".*" does not exist and queue.declare is false/),
    );
    await channel.assertExchange(queue.deadLetterExchange, 'fanout');
    await channel.assertQueue(queue.name, { durable: true, arguments: { 'x-queue-type': 'quorum' } });
    await warm();
  });

  it('reconnects after the connection broke, and does not consume by itself', async () => {
    const opened = open();
    await warm();
    await opened.consume(takeAndAck);
    proxy.cut();
    await warm(2);
    expect(events.join('\n')).toContain('interrupted (channel lost)');
    expect(events.filter((event) => event.startsWith('interrupted'))).toHaveLength(1);
    send('b');
    await sleep(300);
    expect(received).toEqual([]);
    await opened.consume(takeAndAck);
    await eventually(() => expect(received).toEqual(['b']));
  });

  it('does not acknowledge on a channel other than the one that delivered', async () => {
    const opened = open();
    await warm();
    const held: [ConsumeMessage, Channel][] = [];
    await opened.consume((message, from) => held.push([message, from]));
    send('c');
    await eventually(() => expect(held).toHaveLength(1));
    proxy.cut();
    await warm(2);
    const [message, from] = held[0] as [ConsumeMessage, Channel];
    expect(opened.ack(message, from)).toBe(false);
    expect(opened.requeue(message, from)).toBe(false);
    await opened.consume(takeAndAck);
    await eventually(() => expect(received).toEqual(['c']));
  });

  it('acknowledges in any order exactly what was handled, returned messages aside', async () => {
    queue = { ...queue, prefetch: 300 };
    const opened = open();
    await warm();
    const held: [ConsumeMessage, Channel][] = [];
    await opened.consume((message, from) => held.push([message, from]));
    for (let i = 0; i < 300; i += 1) send(String(i));
    await eventually(() => expect(held).toHaveLength(300));
    await opened.cancel();
    const kept: string[] = [];
    for (let turn = 0; held.length > 0; turn += 1) {
      // Several in one turn: in order, and from anywhere.
      for (let i = 0; i < 7 && held.length > 0; i += 1) {
        const index = turn % 2 ? 0 : Math.floor(Math.random() * held.length);
        const [message, from] = held.splice(index, 1)[0] as [ConsumeMessage, Channel];
        const dice = Math.random();
        if (dice < 0.05) kept.push(message.content.toString());
        else if (dice < 0.1 && opened.requeue(message, from)) kept.push(message.content.toString());
        else opened.ack(message, from);
      }
      await sleep(0);
    }
    await opened.recycleChannel();
    await warm(2);
    expect(events).toEqual(['warm', 'warm']);
    await opened.consume(takeAndAck);
    await eventually(() => expect(received.toSorted()).toEqual(kept.toSorted()));
    await sleep(100);
    expect(received).toHaveLength(kept.length);
  });

  it.each(['the channel', 'the connection'])(
    'has every acknowledgement kept that was sent just before it closed %s',
    async (closed) => {
      queue = { ...queue, prefetch: 500 };
      for (let round = 1; round <= 4; round += 1) {
        const opened = open();
        await warm(round);
        const held: [ConsumeMessage, Channel][] = [];
        await opened.consume((message, from) => held.push([message, from]));
        for (let i = 0; i < 500; i += 1) send(String(i));
        await eventually(() => expect(held).toHaveLength(500));
        await opened.cancel();
        // None of them can be acknowledged together with its neighbour.
        for (const parity of [1, 0])
          for (const [message, from] of held)
            if (message.fields.deliveryTag % 2 === parity) opened.ack(message, from);
        if (closed === 'the channel') await opened.recycleChannel();
        await opened.close();
        await sleep(100);
        expect((await channel.checkQueue(queue.name)).messageCount).toBe(0);
      }
    },
  );

  it('notices that the broker has cancelled it, and declares a deleted queue again', async () => {
    const opened = open();
    await warm();
    await opened.consume(takeAndAck);
    await channel.deleteQueue(queue.name);
    await eventually(() =>
      expect(events.at(-1)).toBe('interrupted (channel kept): the broker cancelled the consumer'),
    );
    await expect(opened.consume(takeAndAck)).rejects.toThrow('NOT_FOUND');
    await warm(2);
    await opened.consume(takeAndAck);
    send('d');
    await eventually(() => expect(received).toEqual(['d']));
  });

  it('notices within two checks that the broker has lost it without a word', async () => {
    const opened = open();
    await warm();
    await opened.consume(takeAndAck);
    // Behind its back, so that it believes in its consumer still.
    const { channel: own, consumerTag } = opened as unknown as { channel: Channel; consumerTag: string };
    await own.cancel(consumerTag);
    send('e');
    await eventually(() =>
      expect(events.at(-1)).toBe('interrupted (channel kept): the broker has lost the consumer'),
    );
    await opened.consume(takeAndAck);
    await eventually(() => expect(received).toEqual(['e']));
  });

  it('does not mistake a full prefetch for a lost consumer', async () => {
    const opened = open();
    await warm();
    let held = 0;
    await opened.consume(() => (held += 1));
    for (let i = 0; i < 30; i += 1) send('f');
    await sleep(7_000);
    expect(held).toBe(10);
    expect(events).toEqual(['warm']);
  });

  it('reports a dead letter that no queue would get, instead of losing it', async () => {
    const opened = open();
    await warm();
    await channel.unbindQueue(queue.deadLetterExchange, queue.deadLetterExchange, '');
    const held: ConsumeMessage[] = [];
    await opened.consume((message) => held.push(message));
    send('g');
    await eventually(() => expect(held).toHaveLength(1));
    await expect(opened.deadLetter(held[0] as ConsumeMessage, {})).rejects.toThrow('no queue is bound');
    await channel.bindQueue(queue.deadLetterExchange, queue.deadLetterExchange, '');
    await opened.deadLetter(held[0] as ConsumeMessage, { 'x-baton-attempts': 3 });
    const dead = await channel.get(queue.deadLetterExchange, { noAck: true });
    expect(dead && dead.properties.headers).toMatchObject({ 'x-baton-attempts': 3 });
  });
});

describe('a tenure whose broker fails', () => {
  let fixture: ListenerFixture;
  let proxy: LossyProxy;

  beforeEach(async () => {
    const url = new URL(sharedServers().rabbitmq);
    proxy = await LossyProxy.start(url.host);
    url.host = proxy.address;
    fixture = await new ListenerFixture({ amqpUrl: url.href }).open();
  });
  afterEach(async () => {
    await fixture.close();
    await proxy.close();
  });
  const ids = (event: 'start' | 'end'): Set<number> => new Set(fixture.notes(event).map(({ id }) => id));

  it('resumes after a broken connection; only what was in flight is delivered twice', async () => {
    const child = await fixture.forkWarm();
    await fixture.startTenure(child);
    // So slow that also a machine that stalls has hardly more than one round of acknowledgements on their way.
    await fixture.publish(Array.from({ length: 30 }, (_, id) => ({ id, waitMs: 1_000 })));
    await eventually(() => expect(ids('end').size).toBeGreaterThan(8));
    proxy.cut();
    await eventually(() => expect(ids('end').size).toBe(30), 30_000);
    await sleep(200);
    // Those whose handlers ran, and those whose acknowledgements were lost on their way.
    const twice = fixture.notes('start').length - 30;
    expect(twice).toBeLessThanOrEqual(2 * fixture.settings.queue.concurrency);
    await eventually(async () => expect(await fixture.ready()).toBe(0));
  });

  it('asks the guard before it consumes again', async () => {
    const child = await fixture.forkWarm();
    await fixture.startTenure(child);
    await child.next('consuming');
    await fixture.locks.putRaw(fixture.locks.keys.holder, '{}');
    proxy.cut();
    expect(await child.next('halted')).toMatchObject({ why: 'another holder' });
    await fixture.publish([{ id: 1 }]);
    await sleep(500);
    expect(fixture.notes()).toEqual([]);
    expect((await fixture.channel.checkQueue(fixture.lock)).consumerCount).toBe(0);
  });

  it('goes on when its queue was deleted and declared again', async () => {
    const child = await fixture.forkWarm();
    await fixture.startTenure(child);
    await child.next('consuming');
    await fixture.channel.deleteQueue(fixture.lock);
    await child.next('consuming');
    await fixture.publish([{ id: 1 }]);
    await eventually(() => expect(ids('end').size).toBe(1));
  });
});
