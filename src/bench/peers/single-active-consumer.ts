/**
 * A contender (../contender.ts) of a queue that was declared with x-single-active-consumer: RabbitMQ itself sends
 * messages to one consumer only, and there is nothing else to elect. It says `active` with the first message, since the
 * broker tells nobody.
 *
 * How fast a frozen one is noticed is the heartbeat's doing, so that takes the part of the TTL: the broker ends a
 * connection after about two heartbeats without a sign of life. A planned switch is basic.cancel; what was sent and
 * not yet handled goes back to the queue.
 */
import { connect, type Channel, type ConsumeMessage } from 'amqplib';
import { openSync, writeSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';

const RECONNECT_MS = 100;
/** Time enough for the broker to make another one active, which it does at once. */
const AWAY_MS = 100;

const text = { type: 'string', default: '' } as const;
const { values: given } = parseArgs({
  options: { name: text, amqp: text, queue: text, prefetch: text, lock: text, 'ttl-ms': text, ledger: text },
});
const ledger = openSync(given.ledger, 'a');

let resign: (() => void) | undefined;
let block = false;
const orders = createInterface({ input: process.stdin });
orders.on('line', (order) => {
  if (order === 'resign') resign?.();
  if (order === 'block') block = true;
});
orders.on('close', () => process.exit());

void compete();

async function compete(): Promise<void> {
  for (;;) {
    try {
      const broken = await consume();
      console.error(broken);
    } catch (error) {
      console.error(error); // The broker is away: asked again soon.
    }
    await sleep(RECONNECT_MS);
  }
}

/** Consumes and resigns as told. @returns why the connection ended. */
async function consume(): Promise<unknown> {
  const url = new URL(given.amqp);
  url.searchParams.set('heartbeat', String(Math.max(1, Math.round(Number(given['ttl-ms']) / 2_000))));
  const model = await connect(url.href, { timeout: 5_000, noDelay: true });
  let why: unknown = 'the broker ended the connection';
  model.on('error', (error) => (why = error));
  const ended = new Promise<'ended'>((resolve) => model.once('close', () => resolve('ended')));
  try {
    const channel = await model.createChannel();
    channel.on('error', (error) => (why = error));
    channel.once('close', () => void model.close().catch(() => undefined)); // Closed already.
    await channel.prefetch(Number(given.prefetch));
    while ((await tenure(channel, ended)) !== 'ended') await sleep(AWAY_MS);
  } finally {
    await model.close().catch(() => undefined); // Closed already.
  }
  return why;
}

/** From consume to cancel. */
async function tenure(channel: Channel, ended: Promise<'ended'>): Promise<'ended' | 'resigned'> {
  let resigning = false;
  let active = false;
  const resigned = new Promise<'resigned'>((resolve) => {
    resign = () => {
      resigning = true;
      resolve('resigned');
    };
  });
  const { consumerTag } = await channel.consume(given.queue, (message) => {
    if (message === null) return void channel.close().catch(() => undefined); // Cancelled by the broker.
    if (resigning) return channel.nack(message);
    if (!active) {
      active = true;
      console.log('active');
    }
    handle(message);
    channel.ack(message);
  });
  if (!active) console.log('standing');
  const outcome = await Promise.race([ended, resigned]);
  try {
    if (outcome === 'resigned') await channel.cancel(consumerTag);
  } finally {
    console.log('inactive');
  }
  return outcome;
}

function handle(message: ConsumeMessage): void {
  const start = process.hrtime.bigint();
  if (block) for (;;);
  writeSync(
    ledger,
    `${message.content.toString('latin1')} ${given.name} ${start} ${process.hrtime.bigint()}\n`,
  );
}
