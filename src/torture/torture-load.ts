import { connect, type ChannelModel, type ConfirmChannel } from 'amqplib';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Behaviour, TortureMessage } from './handler';
import { now, type RunRecorder } from './run-recorder';

const burstMs = 10;
const reconnectMs = 250;
const confirmLimitMs = 20_000;
/** A broker that does not confirm gets no more than this. */
const maxUnconfirmed = 2_000;

/**
 * Publishes persistent messages at a steady rate, straight to the broker, and writes down which the broker has
 * confirmed. One whose confirmation was cut off is not sent again: nobody can say whether it is in the queue.
 */
export class TortureLoad {
  /** Confirmed, by id. */
  readonly confirmed = new Set<string>();
  private next = 1;
  private model: ChannelModel | undefined;
  private channel: ConfirmChannel | undefined;
  private blocked = false;
  private readonly unroutable = new Set<string>();
  /** Not answered for yet: when each was sent. */
  private readonly pending = new Map<string, string>();
  private timer: NodeJS.Timeout | undefined;
  private closed = false;
  private constructor(
    private readonly url: string,
    private readonly queue: string,
    private readonly lock: string,
    private readonly recorder: RunRecorder,
  ) {}

  /** The queue must exist. */
  static async connect(
    url: string,
    queue: string,
    lock: string,
    recorder: RunRecorder,
  ): Promise<TortureLoad> {
    const load = new TortureLoad(url, queue, lock, recorder);
    await load.open();
    return load;
  }

  get sent(): number {
    return this.next - 1;
  }

  start(messagesPerSecond: number): void {
    let last = performance.now();
    let due = 0;
    this.timer = setInterval(() => {
      const time = performance.now();
      due += ((time - last) * messagesPerSecond) / 1000;
      last = time;
      // What could not be sent is not made up for in one burst.
      for (; due >= 1; due--) this.publish();
    }, burstMs);
  }

  pause(): void {
    clearInterval(this.timer);
  }

  /** Sends messages that misbehave, as soon as the broker takes messages. */
  async misbehave(behave: Behaviour, count: number): Promise<void> {
    for (let left = count; left > 0 && !this.closed;) {
      if (this.publish(behave)) left--;
      else await sleep(burstMs);
    }
  }

  /** Waits, within a limit, until the broker has answered for everything; the rest is written as not confirmed. */
  async settle(): Promise<void> {
    const giveUpAt = Date.now() + confirmLimitMs;
    while (this.pending.size > 0 && Date.now() < giveUpAt) await sleep(burstMs);
    this.forget();
  }

  /** Idempotent. */
  async close(): Promise<void> {
    this.closed = true;
    this.pause();
    await this.model?.close().catch(() => undefined); // Already broken: nothing is left to close.
  }

  private publish(behave?: Behaviour): boolean {
    const { channel } = this;
    if (!channel || this.blocked || this.pending.size >= maxUnconfirmed) return false;
    const id = `${behave ?? 'm'}-${String(this.next++).padStart(7, '0')}`;
    const message: TortureMessage = { id, ...(behave && { behave }) };
    const sentAt = now();
    this.pending.set(id, sentAt);
    const options = { persistent: true, mandatory: true, messageId: id, contentType: 'application/json' };
    channel.sendToQueue(this.queue, Buffer.from(JSON.stringify(message)), options, (error: unknown) => {
      if (!this.pending.delete(id)) return;
      // The broker confirms also what it had to return, after returning it.
      const taken = !error && !this.unroutable.has(id);
      if (taken) this.confirmed.add(id);
      this.recorder.published({ lock: this.lock, id, sentAt, confirmedAt: taken ? now() : null });
    });
    return true;
  }

  private forget(): void {
    for (const [id, sentAt] of this.pending)
      this.recorder.published({ lock: this.lock, id, sentAt, confirmedAt: null });
    this.pending.clear();
  }

  private async open(): Promise<void> {
    const model = await connect(this.url, { timeout: 5_000 });
    model.on('error', () => undefined); // Followed by `close`, which is where it is handled.
    model.once('close', () => void this.reopen());
    model.on('blocked', () => (this.blocked = true));
    model.on('unblocked', () => (this.blocked = false));
    const channel = await model.createConfirmChannel();
    channel.on('return', ({ properties }: { properties: { messageId?: unknown } }) => {
      this.unroutable.add(String(properties.messageId));
    });
    channel.on('error', () => undefined);
    channel.once('close', () => void model.close().catch(() => undefined));
    this.model = model;
    this.channel = channel;
    this.blocked = false;
  }

  private async reopen(): Promise<void> {
    this.channel = undefined;
    this.forget();
    while (!this.closed) {
      try {
        return await this.open();
      } catch {
        await sleep(reconnectMs); // The broker is away: its return is waited for until `close`.
      }
    }
  }
}
