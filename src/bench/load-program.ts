/**
 * The publisher of a {@link Load}: `load-program.js AMQP-URL QUEUE`, told what to do by its parent's messages, with which it
 * ends.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { connect } from 'amqplib';
import type { LoadOrder, LoadReport } from './load';

/** One message at a time: a burst would put its own pause into every gap. */
const tickMs = 1;
const confirmLimitMs = 10_000;

const [url = '', queue = ''] = process.argv.slice(2);
process.on('disconnect', () => process.exit(0));
void publishAsTold();

async function publishAsTold(): Promise<void> {
  // Else the kernel keeps a message back until the broker has confirmed the one before, up to 40 ms.
  const model = await connect(url, { timeout: 5_000, noDelay: true });
  // Followed by `close`; a broker that is gone ends the bench through its contenders.
  model.on('error', () => undefined);
  const channel = await model.createConfirmChannel();
  channel.on('error', () => undefined);
  let nextSeq = 1;
  let unconfirmed = 0;
  let confirmed: number[] = [];
  let timer: NodeJS.Timeout | undefined;

  const isWaiting = (): boolean => unconfirmed > 0;
  const publish = (): void => {
    const seq = nextSeq++;
    unconfirmed++;
    channel.sendToQueue(queue, Buffer.from(String(seq)), { persistent: true }, (error: unknown) => {
      unconfirmed--;
      if (!error) confirmed.push(seq);
    });
  };
  const start = (messagesPerSecond: number): void => {
    const began = performance.now();
    let sent = 0;
    timer = setInterval(() => {
      const due = Math.floor(((performance.now() - began) * messagesPerSecond) / 1000);
      for (; sent < due; sent++) publish();
    }, tickMs);
  };
  const settle = async (): Promise<void> => {
    const giveUpAt = performance.now() + confirmLimitMs;
    while (isWaiting() && performance.now() < giveUpAt) await sleep(5);
    const report: LoadReport = { confirmed };
    confirmed = [];
    process.send?.(report);
  };

  process.on('message', (order: LoadOrder) => {
    if (order.kind === 'start' || order.kind === 'pause') clearInterval(timer);
    if (order.kind === 'start') start(order.messagesPerSecond);
    if (order.kind === 'publish') publish();
    if (order.kind === 'settle') void settle();
  });
  process.send?.({ confirmed } satisfies LoadReport);
}
