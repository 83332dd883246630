import type { SimulatedProcess } from './simulated-process';
import type { Pipe, Route, World } from './world';

export interface Queued {
  id: string;
  body: Buffer;
  /** How often it has been delivered before. */
  deliveries: number;
}

/** Why a message came back. */
export type Return = 'returned by its consumer' | 'channel closed' | 'connection lost';

export interface BrokerReports {
  /** Into the client's code. */
  onDelivered(message: Queued, channel: BrokerChannel): void;
  onReturn(message: Queued, process: SimulatedProcess, why: Return): void;
  onAcknowledged(message: Queued, process: SimulatedProcess): void;
}

export interface Consumer {
  channel: BrokerChannel;
  deliver: (message: Queued, deliveryTag: number) => void;
}

/** One queue: at least once, in order, returned messages at the head. */
export class SimulatedBroker {
  readonly ready: Queued[] = [];
  readonly dead: Queued[] = [];
  readonly consumers: Consumer[] = [];
  readonly connections = new Set<BrokerConnection>();
  /** Takes no connections before then. */
  downUntil = 0;
  private next = 0;

  constructor(
    readonly world: World,
    readonly reports: BrokerReports,
  ) {}

  get unacknowledged(): number {
    return [...this.connections].reduce((sum, connection) => sum + connection.unacknowledged, 0);
  }

  publish(id: string): void {
    this.ready.push({ id, body: Buffer.from(id), deliveries: 0 });
    this.dispatch();
  }

  /** To the consumers in turn, as far as their prefetch goes. */
  dispatch(): void {
    for (let tried = 0; tried < this.consumers.length && this.ready.length > 0;) {
      const consumer = this.consumers[this.next++ % this.consumers.length] as Consumer;
      if (consumer.channel.isFull) {
        tried += 1;
        continue;
      }
      tried = 0;
      consumer.channel.give(this.ready.shift() as Queued, consumer);
    }
  }

  takeBack(messages: Queued[], process: SimulatedProcess, why: Return): void {
    for (const message of messages) {
      this.reports.onReturn(message, process, why);
      message.deliveries += 1;
    }
    this.ready.unshift(...messages);
    this.dispatch();
  }

  /** All connections break, as with a restart. */
  restart(downMs: number): void {
    this.downUntil = this.world.now + downMs;
    for (const connection of this.connections) connection.breakOff('the broker restarts');
  }
}

/** The broker's side of a connection. Requests and answers keep their order. */
export class BrokerConnection {
  readonly channels = new Set<BrokerChannel>();
  isOpen = true;
  private readonly there: Pipe = { lastArrival: 0 };
  private readonly back: Pipe = { lastArrival: 0 };

  constructor(
    readonly broker: SimulatedBroker,
    readonly process: SimulatedProcess,
    private readonly route: Route,
    private readonly heartbeatMs: number,
    private readonly onLost: (why: string) => void,
  ) {
    broker.connections.add(this);
    process.onKill.push(() =>
      broker.world.after(broker.world.between(0.2, 4), () => this.breakOff('its end')),
    );
    this.watchHeartbeat();
  }

  get unacknowledged(): number {
    return [...this.channels].reduce((sum, channel) => sum + channel.unacknowledged.size, 0);
  }

  /** From the client. */
  send(run: () => void): void {
    const { process, route, there } = this;
    this.broker.world.transmit({ from: process, route, pipe: there }, () => {
      if (this.isOpen) run();
    });
  }

  /** To the client. */
  reply(run: () => void): void {
    const { process, route, back } = this;
    this.broker.world.transmit({ to: process, route, way: 'back', pipe: back }, run);
  }

  breakOff(why: string): void {
    if (!this.isOpen) return;
    this.end('connection lost');
    this.broker.world.trace(null, `the broker loses ${this.process.name}: ${why}`);
    this.reply(() => this.onLost(why));
  }

  /** The client has said good-bye. */
  close(): void {
    if (this.isOpen) this.end('channel closed');
  }

  private end(why: Return): void {
    this.isOpen = false;
    this.broker.connections.delete(this);
    for (const channel of this.channels) channel.end(why);
  }

  /** A client that has said nothing for two intervals is given up. */
  private watchHeartbeat(): void {
    const { world } = this.broker;
    const { process, route } = this;
    let lastHeard = world.now;
    const look = (): void => {
      if (!this.isOpen) return;
      const isSilent =
        !process.isAlive ||
        process.frozenUntil > world.now ||
        route.cutUntil.there > world.now ||
        route.cutUntil.back > world.now;
      if (!isSilent) lastHeard = world.now;
      if (world.now - lastHeard > 2 * this.heartbeatMs) return this.breakOff('no heartbeat');
      world.after(this.heartbeatMs, look);
    };
    world.after(this.heartbeatMs, look);
  }
}

/** The broker's side of a channel. */
export class BrokerChannel {
  readonly unacknowledged = new Map<number, Queued>();
  prefetch = Infinity;
  /** Null while it is open. */
  endedBy: Return | null = null;
  private tag = 0;

  constructor(readonly connection: BrokerConnection) {
    connection.channels.add(this);
  }

  get isFull(): boolean {
    return this.unacknowledged.size >= this.prefetch;
  }

  give(message: Queued, consumer: Consumer): void {
    this.tag += 1;
    this.unacknowledged.set(this.tag, message);
    consumer.deliver(message, this.tag);
  }

  ack(tag: number, multiple: boolean): void {
    const { broker, process } = this.connection;
    for (const each of multiple ? [...this.unacknowledged.keys()].filter((at) => at <= tag) : [tag]) {
      const message = this.unacknowledged.get(each);
      if (!message) continue;
      this.unacknowledged.delete(each);
      broker.reports.onAcknowledged(message, process);
    }
    broker.dispatch();
  }

  nack(tag: number): void {
    const message = this.unacknowledged.get(tag);
    if (!message) return;
    this.unacknowledged.delete(tag);
    const { broker, process } = this.connection;
    broker.takeBack([message], process, 'returned by its consumer');
  }

  end(why: Return): void {
    if (this.endedBy) return;
    this.endedBy = why;
    const { broker, process, channels } = this.connection;
    channels.delete(this);
    for (const consumer of broker.consumers.filter(({ channel }) => channel === this))
      broker.consumers.splice(broker.consumers.indexOf(consumer), 1);
    const messages = [...this.unacknowledged.values()];
    this.unacknowledged.clear();
    broker.takeBack(messages, process, why);
  }
}
