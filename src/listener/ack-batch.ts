import type { Channel, ConsumeMessage } from 'amqplib';

/**
 * The acknowledgements of one channel. Those of one turn of the event loop are sent together at its end, when
 * amqplib would write them anyway: one frame for all up to a message below which nothing is open any more, and
 * one each for the others. A frame each would cost a system call each.
 */
export class AckBatch {
  /** Every delivery up to this tag is acknowledged, returned, or waits here to be acknowledged. */
  private floor = 0;
  /** The same for single tags above the floor. */
  private readonly doneAbove = new Set<number>();
  private pending: ConsumeMessage[] = [];

  constructor(private readonly channel: Channel) {}

  ack(message: ConsumeMessage): void {
    this.done(message.fields.deliveryTag);
    // After all promise reactions of this turn.
    if (this.pending.push(message) === 1) process.nextTick(() => this.flush());
  }

  /** Sent at once, hence before any acknowledgement that includes it. @throws when the channel is closed. */
  requeue(message: ConsumeMessage): void {
    this.channel.nack(message, false, true);
    this.done(message.fields.deliveryTag);
  }

  flush(): void {
    const { pending } = this;
    this.pending = [];
    let upTo: ConsumeMessage | null = null;
    try {
      for (const message of pending) {
        const tag = message.fields.deliveryTag;
        if (tag > this.floor) this.channel.ack(message);
        else if (!upTo || tag > upTo.fields.deliveryTag) upTo = message;
      }
      // It must be one that the broker still waits for, or it closes the channel.
      if (upTo) this.channel.ack(upTo, true);
    } catch {
      // The channel has closed in this turn: the broker delivers them all again.
    }
  }

  private done(tag: number): void {
    if (tag !== this.floor + 1) {
      this.doneAbove.add(tag);
      return;
    }
    this.floor = tag;
    while (this.doneAbove.delete(this.floor + 1)) this.floor += 1;
  }
}
