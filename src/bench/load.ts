import { connect, type ChannelModel, type ConfirmChannel } from 'amqplib';
import { setTimeout as sleep } from 'node:timers/promises';

/** One message at a time: a burst would put its own pause into every gap. */
const tickMs = 1;
const confirmLimitMs = 10_000;

/**
 * Publishes numbered persistent messages (the body is the number) to one queue at a steady rate, and knows which of
 * them the broker has confirmed. It goes straight to the broker, also where the contenders are far away from it.
 */
export class Load {
  /** Confirmed by the broker. */
  readonly published = new Set<number>();
  private nextSeq = 1;
  private unconfirmed = 0;
  private timer: NodeJS.Timeout | undefined;

  private constructor(
    private readonly model: ChannelModel,
    private readonly channel: ConfirmChannel,
    private readonly queue: string,
  ) {}

  /** The queue must exist. */
  static async connect(url: string, queue: string): Promise<Load> {
    // Else the kernel keeps a message back until the broker has confirmed the one before, up to 40 ms.
    const model = await connect(url, { timeout: 5_000, noDelay: true });
    // Followed by `close`; a broker that is gone ends the bench through its contenders.
    model.on('error', () => undefined);
    const channel = await model.createConfirmChannel();
    channel.on('error', () => undefined);
    return new Load(model, channel, queue);
  }

  /** The number that the next message gets. */
  get next(): number {
    return this.nextSeq;
  }

  /** From now on, until `pause`. Called again, it changes the rate. */
  start(messagesPerSecond: number): void {
    this.pause();
    const began = performance.now();
    let sent = 0;
    this.timer = setInterval(() => {
      const due = Math.floor(((performance.now() - began) * messagesPerSecond) / 1000);
      for (; sent < due; sent++) this.publish();
    }, tickMs);
  }

  pause(): void {
    clearInterval(this.timer);
  }

  publish(): void {
    const seq = this.nextSeq++;
    this.unconfirmed++;
    this.channel.sendToQueue(this.queue, Buffer.from(String(seq)), { persistent: true }, (error: unknown) => {
      this.unconfirmed--;
      if (!error) this.published.add(seq);
    });
  }

  /** Waits until the broker has answered for every message. */
  async settle(): Promise<void> {
    const giveUpAt = Date.now() + confirmLimitMs;
    while (this.unconfirmed > 0 && Date.now() < giveUpAt) await sleep(5);
  }

  /** Idempotent. */
  async close(): Promise<void> {
    this.pause();
    await this.model.close().catch(() => undefined); // Closed already.
  }
}
