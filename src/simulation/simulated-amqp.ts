import { EventEmitter } from 'node:events';
import type { ChannelModel, ConsumeMessage } from 'amqplib';
import type { SimulatedProcess } from './simulated-process';
import { BrokerChannel, BrokerConnection, type Consumer, type SimulatedBroker } from './simulated-broker';
import type { Route } from './world';

/** amqplib's `connect`, as far as `AmqpConsumer` uses it, for one process. */
export function connectSimulated(
  process: SimulatedProcess,
  broker: SimulatedBroker,
  route: Route,
  heartbeatMs: number,
): Promise<ChannelModel> {
  const { world } = broker;
  return new Promise((resolve, reject) => {
    let state: 'opening' | 'open' | 'refused' = 'opening';
    const refuse = (why: string): void => {
      state = 'refused';
      reject(new Error(why));
    };
    const timer = setTimeout(() => refuse('connect ETIMEDOUT'), 5_000);
    world.transmit({ from: process, route, mayBeLost: true }, () => {
      const isUp = broker.downUntil <= world.now;
      let client: SimulatedConnection | null = null;
      // As amqplib: what is lost while it is being opened, or was given up, has nobody who listens to its events.
      const onLost = (why: string | null): void => {
        if (state === 'open') client?.lose(why);
        else refuse(why ?? 'Connection closed');
      };
      const connection = isUp ? new BrokerConnection(broker, process, route, heartbeatMs, onLost) : null;
      if (connection) client = new SimulatedConnection(connection);
      world.transmit({ to: process, route, way: 'back' }, () => {
        clearTimeout(timer);
        if (state === 'refused') return;
        if (!client) return refuse('connect ECONNREFUSED');
        state = 'open';
        resolve(client as unknown as ChannelModel);
      });
    });
  });
}

class SimulatedConnection extends EventEmitter {
  private readonly channels = new Set<SimulatedChannel>();
  private isClosed = false;

  constructor(readonly peer: BrokerConnection) {
    super();
  }

  createChannel(): Promise<SimulatedChannel> {
    return this.call(() => new BrokerChannel(this.peer)).then((peer) => {
      const channel = new SimulatedChannel(this, peer);
      this.channels.add(channel);
      return channel;
    });
  }

  createConfirmChannel(): Promise<SimulatedChannel> {
    return this.createChannel();
  }

  close(): Promise<void> {
    if (this.isClosed) return Promise.reject(new Error('Connection closed'));
    return this.call(() => this.peer.close()).then(() => this.lose(null));
  }

  lose(why: string | null): void {
    if (this.isClosed) return;
    this.isClosed = true;
    if (why !== null) this.emit('error', new Error(why));
    for (const channel of this.channels) channel.lose();
    this.emit('close');
  }

  /** A request and its answer. Without a connection it is never answered. */
  call<T>(work: () => T): Promise<T> {
    if (this.isClosed) return Promise.reject(new Error('Connection closed'));
    return new Promise((resolve, reject) => {
      const onClose = (): void => reject(new Error('Connection closed'));
      this.once('close', onClose);
      this.setMaxListeners(100);
      this.peer.send(() => {
        const result = work();
        this.peer.reply(() => {
          this.off('close', onClose);
          resolve(result);
        });
      });
    });
  }

  forget(channel: SimulatedChannel): void {
    this.channels.delete(channel);
  }
}

class SimulatedChannel extends EventEmitter {
  private isClosed = false;
  private readonly receivers = new Map<string, (message: ConsumeMessage | null) => void>();
  private readonly consumers = new Map<string, Consumer>();

  constructor(
    private readonly connection: SimulatedConnection,
    private readonly peer: BrokerChannel,
  ) {
    super();
  }

  prefetch(count: number): Promise<void> {
    return this.call(() => {
      this.peer.prefetch = count;
    });
  }

  consume(
    _queue: string,
    receive: (message: ConsumeMessage | null) => void,
    { consumerTag }: { consumerTag: string },
  ): Promise<void> {
    this.receivers.set(consumerTag, receive);
    const { broker } = this.connection.peer;
    const deliver: Consumer['deliver'] = (message, deliveryTag) => {
      const delivered = {
        content: message.body,
        fields: {
          deliveryTag,
          consumerTag,
          redelivered: message.deliveries > 0,
          exchange: '',
          routingKey: 'q',
        },
        properties: {
          messageId: message.id,
          headers: message.deliveries > 0 ? { 'x-delivery-count': message.deliveries } : {},
        },
      } as unknown as ConsumeMessage;
      this.connection.peer.reply(() => {
        broker.reports.onDelivered(message, this.peer);
        if (!this.isClosed) this.receivers.get(consumerTag)?.(delivered);
      });
    };
    return this.call(() => {
      const consumer = { channel: this.peer, deliver };
      this.consumers.set(consumerTag, consumer);
      broker.consumers.push(consumer);
      // The answer comes before the first message.
      broker.world.after(0, () => broker.dispatch());
    });
  }

  cancel(consumerTag: string): Promise<void> {
    const { broker } = this.connection.peer;
    return this.call(() => {
      const consumer = this.consumers.get(consumerTag);
      const index = consumer ? broker.consumers.indexOf(consumer) : -1;
      if (index >= 0) broker.consumers.splice(index, 1);
    });
  }

  ack({ fields }: ConsumeMessage, multiple = false): void {
    this.mustBeOpen();
    this.connection.peer.send(() => this.peer.ack(fields.deliveryTag, multiple));
  }

  nack({ fields }: ConsumeMessage): void {
    this.mustBeOpen();
    this.connection.peer.send(() => this.peer.nack(fields.deliveryTag));
  }

  checkQueue(): Promise<{ messageCount: number; consumerCount: number }> {
    const { broker } = this.connection.peer;
    return this.call(() => ({
      messageCount: broker.ready.length,
      consumerCount: broker.consumers.length,
    }));
  }

  checkExchange(): Promise<void> {
    return this.call(() => {});
  }

  publish(
    _exchange: string,
    _key: string,
    body: Buffer,
    _options: unknown,
    confirmed: (error: Error | null) => void,
  ): boolean {
    const { broker } = this.connection.peer;
    this.call(() => void broker.dead.push({ id: String(body), body, deliveries: 0 })).then(
      () => confirmed(null),
      (error: Error) => confirmed(error),
    );
    return true;
  }

  close(): Promise<void> {
    if (this.isClosed) return Promise.reject(new Error('Channel closed'));
    return this.call(() => this.peer.end('channel closed')).then(() => this.lose());
  }

  lose(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.connection.forget(this);
    this.emit('close');
  }

  private call<T>(work: () => T): Promise<T> {
    this.mustBeOpen();
    return this.connection.call(work);
  }

  private mustBeOpen(): void {
    if (this.isClosed) throw new Error('Channel closed');
  }
}
