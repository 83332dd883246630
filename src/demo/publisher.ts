import { connect, type ChannelModel, type ConfirmChannel } from 'amqplib';
import { setTimeout as sleep } from 'node:timers/promises';

/** Messages go out in small bursts this often: exact enough, and far from a timer per message. */
const BURST_MS = 10;
const RECONNECT_MS = 250;
const CONFIRM_LIMIT_MS = 10_000;

/**
 * Publishes numbered persistent messages at a steady rate, and knows which of them the broker has confirmed.
 * One whose confirmation was cut off by a broken connection is not sent again and counts as not published:
 * nobody can say whether it is in the queue.
 */
export class Publisher {
  /** Confirmed by the broker. */
  readonly published = new Set<number>();
  /** Messages that the broker refused or found no queue for. */
  refused = 0;

  private model: ChannelModel | undefined;
  private channel: ConfirmChannel | undefined;
  private readonly unroutable = new Set<number>();
  private unconfirmed = 0;
  private timer: NodeJS.Timeout | undefined;
  private closed = false;

  private constructor(
    private readonly url: string,
    private readonly queue: string,
    private readonly onTrouble: (problem: string) => void,
    private nextSeq: number,
    private readonly bodyOf: (seq: number) => unknown,
  ) {}

  /** The messages are numbered from `firstSeq` on; `bodyOf` gives the content that becomes JSON. */
  static async connect(
    url: string,
    queue: string,
    onTrouble: (problem: string) => void,
    firstSeq = 1,
    bodyOf: (seq: number) => unknown = (seq) => ({ seq }),
  ): Promise<Publisher> {
    const publisher = new Publisher(url, queue, onTrouble, firstSeq, bodyOf);
    await publisher.open();
    return publisher;
  }

  /** From now on, and until `pause`. Called again, it changes the rate. */
  start(messagesPerSecond: number): void {
    this.pause();
    const began = performance.now();
    let sent = 0;
    this.timer = setInterval(() => {
      const due = Math.floor(((performance.now() - began) * messagesPerSecond) / 1000);
      // What could not be sent while there was no connection is not made up for in one burst.
      if (this.channel) for (let i = sent; i < due; i++) this.publish(this.channel, this.nextSeq++);
      sent = due;
    }, BURST_MS);
  }

  pause(): void {
    clearInterval(this.timer);
  }

  /** Waits, at most 10 s, until the broker has answered for every message sent. */
  async settle(): Promise<void> {
    const giveUpAt = Date.now() + CONFIRM_LIMIT_MS;
    while (this.unconfirmed > 0 && Date.now() < giveUpAt) await sleep(BURST_MS);
    if (this.unconfirmed > 0)
      this.onTrouble(`${this.unconfirmed} messages were never confirmed by the broker`);
  }

  /** Messages that wait in the queue, without those at a consumer. */
  async queued(): Promise<number> {
    if (!this.channel) throw new Error('the publisher has no connection to RabbitMQ');
    return (await this.channel.checkQueue(this.queue)).messageCount;
  }

  /** Idempotent. */
  async close(): Promise<void> {
    this.closed = true;
    this.pause();
    await this.model?.close().catch(() => undefined); // Already broken: nothing is left to close.
  }

  private publish(channel: ConfirmChannel, seq: number): void {
    this.unconfirmed++;
    const body = Buffer.from(JSON.stringify(this.bodyOf(seq)));
    const options = {
      persistent: true,
      mandatory: true,
      messageId: String(seq),
      contentType: 'application/json',
    };
    channel.sendToQueue(this.queue, body, options, (error: unknown) => {
      this.unconfirmed--;
      // The broker confirms also what it had to return, after returning it.
      if (!error && !this.unroutable.has(seq)) this.published.add(seq);
      else if (channel === this.channel) this.refused++;
    });
  }

  private async open(): Promise<void> {
    // Else the kernel keeps a message back until the broker has confirmed the one before.
    const model = await connect(this.url, { timeout: 5_000, noDelay: true });
    model.on('error', () => undefined); // Followed by `close`, which is where it is handled.
    model.once('close', () => void this.reopen());
    const channel = await model.createConfirmChannel();
    channel.on('return', ({ properties }: { properties: { messageId?: unknown } }) => {
      this.unroutable.add(Number(properties.messageId));
    });
    channel.on('error', (error: Error) => this.onTrouble(`publisher's channel: ${error.message}`));
    channel.once('close', () => void model.close().catch(() => undefined));
    this.model = model;
    this.channel = channel;
  }

  private async reopen(): Promise<void> {
    this.channel = undefined;
    if (this.closed) return;
    this.onTrouble('publisher lost its connection to RabbitMQ');
    while (!this.closed) {
      try {
        return await this.open();
      } catch {
        await sleep(RECONNECT_MS); // The broker is away: its return is waited for until `close`.
      }
    }
  }
}
