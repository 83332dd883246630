import type { Channel, ConsumeMessage } from 'amqplib';
import { AdvanceConsumer, type Held } from './advance-consumer';
import { Guard, type HolderReader } from './guard';
import { MessageMetrics } from './message-metrics';
import { MessageWorker, type MessageWorkerOptions } from './message-worker';

const token = 1;
const leaseId = 'rehearsal';
const limitMs = 5_000;
const channel = {} as Channel;

type Rehearsed = Pick<MessageWorkerOptions, 'settings' | 'region' | 'pod' | 'logger'> & {
  reader: HolderReader;
};

/**
 * Runs the code of a tenure once, on messages that nobody sent and that reach neither handler nor broker: what a
 * process does for the first time takes it ten times as long, and a tenure's first message has no time to lose.
 * Only reads of etcd are real. Never rejects.
 */
export async function rehearseTenure({ reader, ...place }: Rehearsed): Promise<void> {
  const deadlineNs = process.hrtime.bigint() + BigInt(limitMs) * 1_000_000n;
  const expected = { leaseId, deadlineNs, marginMs: limitMs };
  const asHolder: HolderReader = {
    readHolder: async () => {
      const { revision } = await reader.readHolder();
      return { revision, holder: { token, leaseId } };
    },
  };
  let held: readonly Held[] = [];
  const began = new Promise<bigint>((resolve) => {
    const ahead = new AdvanceConsumer({
      ...expected,
      reader: asHolder,
      watch: null,
      afterToken: 0,
      onHolder: (_token, readBeganNs) => {
        held = ahead.handTo(() => {});
        resolve(readBeganNs);
      },
    });
    ahead.begin();
    ahead.hold(messageOf('held'), channel);
    // Without an answer of etcd there is nothing to rehearse.
    setTimeout(() => {
      ahead.stop();
      resolve(0n);
    }, limitMs).unref();
  });
  const readBeganNs = await began;
  const guard = new Guard({
    ...expected,
    reader: asHolder,
    token,
    readBeganNs,
    verificationMaxAgeMs: limitMs,
    abortLeadMs: 0,
    onAbort: () => {},
    onOver: () => {},
  });
  const worker = new MessageWorker({
    ...place,
    token,
    guard,
    consumer: {
      ack: () => true,
      requeue: () => true,
      deadLetter: () => Promise.resolve(),
      isCurrent: () => true,
    },
    attempts: { begin: () => Promise.resolve(1), clear: () => Promise.resolve() },
    handler: () => {},
    metrics: new MessageMetrics(place.region).forLock(place.settings.name),
    onFirstMessage: () => {},
  });
  worker.takeHeld(held);
  worker.accept(messageOf('fresh'), channel);
  worker.accept(messageOf('redelivered', true), channel);
  await worker.workedOff();
  guard.end();
}

const messageOf = (body: string, redelivered = false): ConsumeMessage =>
  ({
    content: Buffer.from(body),
    fields: { redelivered, routingKey: '', deliveryTag: 1, consumerTag: '', exchange: '' },
    properties: { headers: {}, messageId: body },
  }) as unknown as ConsumeMessage;
