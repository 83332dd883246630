/**
 * A process that consumes as plain amqplib programs do, for the comparison: without any lock, with one etcd read
 * per message in turn, or as a member of a single active consumer queue. It serves many rounds, as Baton's
 * listener does, so that both run compiled code.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { connect, type Channel, type ChannelModel, type ConsumeMessage } from 'amqplib';
import { EtcdClient } from '../etcd/etcd-client';
import { GuardReader } from '../etcd/guard-reader';
import { AckBatch } from '../listener/ack-batch';
import { minReadSpacingMs } from '../listener/guard';
import { handlerOf } from './throughput-handler';

/**
 * - `ack each`: one acknowledgement per message, sent when its handler has ended, as most programs do.
 * - `ack batched`: with Baton's own way of acknowledging, so that the two differ by the verification only.
 * - `wait`: as `ack batched`, but each message begins `waitMs` after it came: the least that a question over such a distance
 *   costs, if asking, answering and what both take of the processor were free.
 * - `wait beside`: as `wait`, and it asks etcd as often as Baton does, although no message waits for the answers.
 * - `read each`: as `ack each`, but each handler waits for a read of its own, one read after the other.
 * - `read beside`: as `ack each`, and now and then it asks etcd something that no message waits for.
 */
export type Strategy = 'ack each' | 'ack batched' | 'wait' | 'wait beside' | 'read each' | 'read beside';

export type ConsumerOrder =
  | { kind: 'open'; amqpUrl: string; etcd: string[]; lock: string; folder: string }
  | {
      kind: 'consume';
      queue: string;
      prefetch: number;
      handlerMs: number;
      strategy: Strategy;
      waitMs: number;
    }
  | { kind: 'stop' };
/** In answer to each order, once it is done. `readsMs`: how long each of the reads beside took, since the last answer. */
export type ConsumerAnswer = { kind: 'done'; readsMs: number[] };

/** One read at a time, this long after the answer of the one before: too few to be a load. */
const readPauseMs = 5;

let broker: ChannelModel;
let channel: Channel;
let consumerTag = '';
let folder = '';
let readHolder: () => Promise<unknown>;
let reading: NodeJS.Timeout | undefined;
let readsMs: number[] = [];
/** Messages received and not acknowledged. */
const count = { unsettled: 0 };

process.on('disconnect', () => process.exit(0));
process.on('message', (order) => {
  void obey(order as ConsumerOrder).then(() => {
    process.send?.({ kind: 'done', readsMs } satisfies ConsumerAnswer);
    readsMs = [];
  });
});

function readLater(): void {
  reading = setTimeout(() => {
    const began = performance.now();
    void readHolder().then(() => {
      readsMs.push(performance.now() - began);
      if (reading) readLater();
    });
  }, readPauseMs);
}

async function obey(order: ConsumerOrder): Promise<void> {
  switch (order.kind) {
    case 'open': {
      folder = order.folder;
      broker = await connect(order.amqpUrl, { noDelay: true });
      const reader = new GuardReader(new EtcdClient({ endpoints: order.etcd }));
      readHolder = () => reader.readHolder(order.lock);
      await readHolder();
      return;
    }
    case 'consume':
      channel = await broker.createChannel();
      await channel.prefetch(order.prefetch);
      ({ consumerTag } = await channel.consume(order.queue, consumerOf(order, channel)));
      if (order.strategy === 'read beside') readLater();
      if (order.strategy === 'wait beside') reading = setInterval(() => void readHolder(), minReadSpacingMs);
      return;
    case 'stop':
      clearTimeout(reading);
      reading = undefined;
      await channel.cancel(consumerTag);
      while (count.unsettled > 0) await sleep(1);
      await channel.close();
      return;
  }
}

function consumerOf(
  { strategy, handlerMs, waitMs }: Extract<ConsumerOrder, { kind: 'consume' }>,
  on: Channel,
): (message: ConsumeMessage | null) => void {
  const handle = handlerOf(folder, handlerMs);
  const acks = new AckBatch(on);
  let lastRead = Promise.resolve();
  const each = async (message: ConsumeMessage): Promise<void> => {
    await handle({ body: message.content });
    on.ack(message);
    count.unsettled -= 1;
  };
  const batched = async (message: ConsumeMessage): Promise<void> => {
    await handle({ body: message.content });
    acks.ack(message);
    count.unsettled -= 1;
  };
  let arrived: ConsumeMessage[] = [];
  /** Those of one turn of the event loop wait together. */
  const waited = (message: ConsumeMessage): void => {
    if (arrived.push(message) > 1) return;
    const together = arrived;
    setImmediate(() => (arrived = []));
    setTimeout(() => {
      for (const one of together) void batched(one);
    }, waitMs);
  };
  return (message) => {
    if (!message) return;
    count.unsettled += 1;
    if (strategy === 'ack each' || strategy === 'read beside') void each(message);
    else if (strategy === 'ack batched') void batched(message);
    else if (strategy === 'wait' || strategy === 'wait beside') waited(message);
    else
      lastRead = lastRead.then(async () => {
        await readHolder();
        void each(message);
      });
  };
}
