import { randomUUID } from 'node:crypto';
import { EventEmitter } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect, type Channel, type ChannelModel, type ConfirmChannel, type ConsumeMessage } from 'amqplib';
import type { Logger } from 'pino';
import type { QueueSettings, TlsFiles } from '../config/config';
import { currentSecret } from '../config/secret-file';
import { tlsSentence } from '../config/tls-check';
import { readTlsFiles } from '../config/tls-files';
import { AckBatch } from './ack-batch';
import { prepareTopology } from './amqp-topology';

export interface AmqpConsumerOptions {
  url: string;
  /** In which the address stands; read at each connection, so that a renewed password is used. */
  urlFile?: string;
  /** For `amqps://`; read at each connection, so that renewed ones are used. */
  tls?: TlsFiles;
  queue: QueueSettings;
  /** Under which the broker lists the connection, and closes it when the lock is taken by force. */
  connectionName: string;
  logger: Logger;
  /** Between two checks that the broker still knows the consumer. Default 2,000. */
  checkIntervalMs?: number;
}

export interface AmqpConsumerEvents {
  /** Connected, queue usable, channel open and idle: `consume` may be called. */
  warm: [];
  /** Not usable; it keeps trying. */
  cold: [why: string];
  /**
   * The broker has stopped delivering. With `channelLost` everything unacknowledged is back in the queue;
   * otherwise what was delivered can still be acknowledged. Consuming begins again only by `consume`.
   */
  interrupted: [why: string, channelLost: boolean];
}

export type OnDelivery = (message: ConsumeMessage, channel: Channel) => void;

const firstRetryMs = 100;
const maxRetryMs = 2_000;
const connectTimeoutMs = 5_000;
/**
 * RabbitMQ sends a quorum queue no more than 32 settlements that it has not applied yet; what a channel has received
 * beyond that is lost when the channel closes, although its end is answered: of 500 messages acknowledged one by one,
 * then closed, up to 450 came again in 10 of 20 rounds; with a pause of 100 ms, none in 30 (10 on a busy machine).
 */
const settleMs = 250;
const channelCloseLimitMs = 1_000;
/** A check that sees messages waiting, none out and none delivered so often in a row: the consumer is dead. */
const idleChecksUntilDead = 2;

/**
 * One queue of one broker: a connection that is kept up, and a channel that is open and idle until `consume`.
 * It never consumes by itself, neither at first nor after a reconnect: that is for the lock's holder to decide.
 * amqplib's own recovery is not used, as it retries the connection only, not a lost channel or a missing queue.
 */
export class AmqpConsumer extends EventEmitter<AmqpConsumerEvents> {
  private connection: ChannelModel | null = null;
  /** Delivers and takes acknowledgements. */
  private channel: Channel | null = null;
  private acks: AckBatch | null = null;
  /** For checks and dead letters, so that their failure does not cost the deliveries. */
  private control: ConfirmChannel | null = null;
  /** Set before the broker is asked, so that a `cancel` meanwhile follows the request. */
  private consumerTag: string | null = null;
  private consumerConfirmed = false;
  private opening: Promise<void> | null = null;
  private warm = false;
  private coldReason: string | null = null;
  private establishing = false;
  private closed = false;
  private readonly checker: NodeJS.Timeout;
  private checking = false;
  private idleChecks = 0;
  private delivered = 0;
  private settled = 0;
  private lastSettledAt = -Infinity;
  private deliveredAtLastCheck = 0;
  private unroutable = false;
  private deadLetters: Promise<void> = Promise.resolve();

  constructor(private readonly options: AmqpConsumerOptions) {
    super();
    this.checker = setInterval(() => void this.checkConsumer(), options.checkIntervalMs ?? 2_000);
  }

  get isWarm(): boolean {
    return this.warm;
  }

  get isConsuming(): boolean {
    return this.consumerTag !== null;
  }

  /** Whether acknowledgements on this channel still mean anything. */
  isCurrent(channel: Channel): boolean {
    return this.channel === channel;
  }

  /** Begins to connect. What comes of it is told by `warm` and `cold`. */
  open(): void {
    void this.establish();
  }

  /** Rejects when the channel is not there, or the broker refuses; `warm` follows when it is usable again. */
  async consume(onDelivery: OnDelivery): Promise<void> {
    const channel = this.channel;
    if (!channel || !this.warm) throw new Error('the channel to the broker is not open');
    const consumerTag = `baton-${randomUUID()}`;
    this.consumerTag = consumerTag;
    this.consumerConfirmed = false;
    this.idleChecks = 0;
    const { name } = this.options.queue;
    const receive = (message: ConsumeMessage | null): void => {
      if (message === null) {
        if (this.consumerTag === consumerTag) this.consumerEnded('the broker cancelled the consumer');
        return;
      }
      this.delivered += 1;
      onDelivery(message, channel);
    };
    try {
      await channel.consume(name, receive, { consumerTag });
    } catch (error) {
      if (this.consumerTag === consumerTag) this.consumerTag = null;
      throw error;
    }
    if (this.consumerTag === consumerTag) this.consumerConfirmed = true;
  }

  /**
   * The setting has changed. The broker applies it to consumers that begin later, so the present one ends and is told as
   * interrupted; what it was given stays with it and counts apart from the new one's.
   */
  async applyPrefetch(): Promise<void> {
    const { channel } = this;
    if (!channel) return;
    try {
      await channel.prefetch(this.options.queue.prefetch);
      if (this.consumerTag === null) return;
      await this.cancel();
      if (this.channel === channel && this.consumerTag === null)
        this.emit('interrupted', 'the prefetch has changed', false);
    } catch (error) {
      // The channel is gone: the next one begins with the new value.
      this.options.logger.warn({ reason: (error as Error).message }, 'prefetch not changed');
    }
  }

  /** After it nothing more is delivered. Resolves too when there is no consumer any more. */
  async cancel(): Promise<void> {
    const tag = this.consumerTag;
    this.consumerTag = null;
    if (tag === null || !this.channel) return;
    // A channel that closes meanwhile delivers nothing either.
    await this.channel.cancel(tag).catch(() => {});
  }

  /** `false`: the channel that delivered it is gone, so the broker delivers the message again. */
  ack(message: ConsumeMessage, channel: Channel): boolean {
    if (this.channel !== channel || !this.acks) return false;
    this.acks.ack(message);
    this.noteSettled();
    return true;
  }

  /** Puts the message back. `false` when the broker has already done so. */
  requeue(message: ConsumeMessage, channel: Channel): boolean {
    if (this.channel !== channel || !this.acks) return false;
    try {
      this.acks.requeue(message);
      this.noteSettled();
      return true;
    } catch {
      // The channel closed in this tick; its `close` event is about to tell.
      return false;
    }
  }

  /**
   * Publishes the message to the dead-letter exchange and resolves when the broker has it in a queue; only
   * then acknowledge it. One at a time, so that a returned message can be told from its neighbours.
   */
  deadLetter(message: ConsumeMessage, headers: Record<string, unknown>): Promise<void> {
    const published = this.deadLetters.then(() => this.publishDeadLetter(message, headers));
    this.deadLetters = published.catch(() => {});
    return published;
  }

  /**
   * Closes the channel, which returns what is unacknowledged, once the broker has had the time to apply what was
   * acknowledged. A fresh one is opened when the broker has answered, or after a second.
   */
  async recycleChannel(): Promise<void> {
    const { channel } = this;
    this.acks?.flush();
    void this.cancel();
    this.channel = null;
    this.warm = false;
    if (channel) {
      await this.untilSettled();
      // Where it rejects, the broker has closed it meanwhile.
      const closed = channel.close().catch(() => {});
      await Promise.race([closed, sleep(channelCloseLimitMs, undefined, { ref: false })]);
    }
    void this.establish();
  }

  /** Idempotent. */
  async close(): Promise<void> {
    this.closed = true;
    clearInterval(this.checker);
    const connection = this.connection;
    this.acks?.flush();
    this.forgetConnection();
    await this.untilSettled();
    // Broken already: nothing left to close.
    await connection?.close().catch(() => {});
  }

  private noteSettled(): void {
    this.settled += 1;
    this.lastSettledAt = performance.now();
  }

  /** Until the broker can be expected to have applied the last acknowledgement. */
  private async untilSettled(): Promise<void> {
    const leftMs = this.lastSettledAt + settleMs - performance.now();
    if (leftMs > 0) await sleep(leftMs);
  }

  // --- keeping it up -------------------------------------------------------------------------------------

  /** Connects, prepares and opens what is missing, until that has worked. One run at a time. */
  private async establish(): Promise<void> {
    if (this.establishing) return;
    this.establishing = true;
    let retryMs = firstRetryMs;
    while (!this.closed && !this.warm) {
      try {
        this.connection ??= await this.connectOnce();
        await this.openChannels(this.connection);
        this.coldReason = null;
        this.warm = true;
        this.emit('warm');
      } catch (error) {
        this.turnCold(this.explain(error));
        await sleep(retryMs * (0.8 + 0.4 * Math.random()));
        retryMs = Math.min(retryMs * 2, maxRetryMs);
      }
    }
    this.establishing = false;
  }

  private async connectOnce(): Promise<ChannelModel> {
    const { url, urlFile, tls = {}, queue, connectionName } = this.options;
    const address = new URL(currentSecret(urlFile, url));
    address.searchParams.set('heartbeat', String(queue.heartbeatSeconds));
    const connection = await connect(address.href, {
      ...readTlsFiles(tls),
      noDelay: true,
      timeout: connectTimeoutMs,
      clientProperties: { connection_name: connectionName },
    });
    let why = 'the connection to the broker was closed';
    connection.on('error', (error) => {
      why = `the connection to the broker was lost: ${error.message}`;
    });
    connection.on('close', () => {
      if (this.connection !== connection) return;
      const hadChannel = this.channel !== null;
      this.forgetConnection();
      this.turnCold(why);
      if (hadChannel) this.emit('interrupted', why, true);
      void this.establish();
    });
    if (this.closed) await connection.close();
    return connection;
  }

  /** A broker that does not let us in is named, as whoever reads it has to do something there. */
  private explain(error: unknown): string {
    const said = (error as Error).message || String(error);
    const { host, protocol, pathname } = new URL(this.options.url);
    // All that the driver tells of a user who may not enter the virtual host.
    const message = said.startsWith('Expected ConnectionOpenOk; got <ConnectionClose')
      ? `NOT_ALLOWED - this user may not use virtual host "${decodeURIComponent(pathname.slice(1)) || '/'}", or it is not there`
      : said;
    const untrusted = protocol === 'amqps:' ? tlsSentence(error) : null;
    if (untrusted === null && !/ACCESS[-_]REFUSED|NOT[-_]ALLOWED/.test(message)) return message;
    return `RabbitMQ at ${protocol}//${host} refuses the connection: ${untrusted ?? message.trim()}`;
  }

  private openChannels(connection: ChannelModel): Promise<void> {
    this.opening ??= this.openMissing(connection).finally(() => {
      this.opening = null;
    });
    return this.opening;
  }

  private async openMissing(connection: ChannelModel): Promise<void> {
    if (!this.control) {
      await prepareTopology(connection, this.options.queue);
      const control = await connection.createConfirmChannel();
      control.on('error', () => {});
      control.on('return', () => {
        this.unroutable = true;
      });
      control.on('close', () => {
        // Whatever closed it (a deleted queue or exchange): the next use prepares everything again.
        if (this.control === control) this.control = null;
      });
      if (this.connection !== connection) throw new Error('the connection to the broker was lost');
      this.control = control;
    }
    if (this.channel) return;
    const channel = await connection.createChannel();
    let why = 'the broker closed the channel';
    channel.on('error', (error) => {
      why = error.message;
    });
    channel.on('close', () => {
      if (this.channel !== channel) return;
      this.channel = null;
      this.control?.close().catch(() => {});
      this.control = null;
      this.consumerTag = null;
      this.warm = false;
      this.emit('interrupted', why, true);
      void this.establish();
    });
    await channel.prefetch(this.options.queue.prefetch);
    if (this.connection !== connection) throw new Error('the connection to the broker was lost');
    this.delivered = this.settled = this.deliveredAtLastCheck = 0;
    this.acks = new AckBatch(channel);
    this.channel = channel;
  }

  private forgetConnection(): void {
    this.connection = null;
    this.channel = null;
    this.control = null;
    this.consumerTag = null;
    this.warm = false;
  }

  private turnCold(why: string): void {
    if (this.closed || this.coldReason === why) return;
    this.coldReason = why;
    this.emit('cold', why);
  }

  private consumerEnded(why: string): void {
    this.consumerTag = null;
    this.emit('interrupted', why, false);
  }

  // --- is the consumer still there -----------------------------------------------------------------------

  /** A queue process that crashes, or whose leader moves, can lose its consumers without a word to them. */
  private async checkConsumer(): Promise<void> {
    const { channel, control, consumerTag, connection } = this;
    if (this.checking || !channel || !connection || !this.warm) return;
    this.checking = true;
    try {
      if (!control) await this.openChannels(connection);
      else if (consumerTag !== null && this.consumerConfirmed) {
        const { consumerCount, messageCount } = await control.checkQueue(this.options.queue.name);
        if (this.consumerTag !== consumerTag) return;
        const silent = this.delivered === this.deliveredAtLastCheck && this.settled >= this.delivered;
        this.idleChecks = silent && messageCount > 0 ? this.idleChecks + 1 : 0;
        this.deliveredAtLastCheck = this.delivered;
        if (consumerCount === 0) this.replaceConsumer(channel, 'the broker has lost the consumer');
        else if (this.idleChecks >= idleChecksUntilDead)
          this.replaceConsumer(channel, `the broker delivers nothing although ${messageCount} messages wait`);
      }
    } catch (error) {
      // A queue that is gone also cancels its consumer; this only says what happened.
      this.options.logger.warn({ reason: (error as Error).message }, 'check of the queue failed');
    } finally {
      this.checking = false;
    }
  }

  private replaceConsumer(channel: Channel, why: string): void {
    const tag = this.consumerTag;
    this.idleChecks = 0;
    // What the broker may still believe in must not deliver beside the next one.
    if (tag !== null) void channel.cancel(tag).catch(() => {});
    this.consumerEnded(why);
  }

  // --- dead letters --------------------------------------------------------------------------------------

  private async publishDeadLetter(message: ConsumeMessage, headers: Record<string, unknown>): Promise<void> {
    if (!this.connection) throw new Error('not connected to the broker');
    if (!this.control) await this.openChannels(this.connection);
    const control = this.control;
    if (!control) throw new Error('the channel to the broker is not open');
    const exchange = this.options.queue.deadLetterExchange;
    // A dead letter does not expire; a foreign user id would be refused; the counts are those of this queue.
    const { expiration: _1, userId: _2, headers: allHeaders, ...properties } = message.properties;
    const { 'x-delivery-count': _3, 'x-acquired-count': _4, ...originalHeaders } = allHeaders ?? {};
    this.unroutable = false;
    await new Promise<void>((resolve, reject) => {
      control.publish(
        exchange,
        message.fields.routingKey,
        message.content,
        {
          ...properties,
          headers: { ...originalHeaders, ...headers },
          persistent: true,
          // Without a queue behind the exchange the broker would confirm the message and drop it.
          mandatory: true,
        },
        (error: Error | null) => (error ? reject(error) : resolve()),
      );
    });
    if (this.unroutable) throw new Error(`no queue is bound to the exchange "${exchange}"`);
  }
}
