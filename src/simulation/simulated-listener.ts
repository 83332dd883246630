import type { Logger } from 'pino';
import type { LockSettings } from '../config/config';
import { AttemptRecord } from '../etcd/attempt-record';
import type { EtcdClient } from '../etcd/etcd-client';
import { EtcdLock } from '../etcd/etcd-lock';
import { GuardReader } from '../etcd/guard-reader';
import { AmqpConsumer } from '../listener/amqp-consumer';
import type { Handler } from '../listener/handler';
import type { LockMetrics } from '../listener/message-metrics';
import type { AgentMessage, ListenerMessage } from '../listener/protocol';
import { TenureRunner } from '../listener/tenure-runner';
import type { SimulatedProcess } from './simulated-process';

export interface ListenerMeans {
  settings: LockSettings;
  region: string;
  pod: string;
  connectEtcd: (process: SimulatedProcess) => EtcdClient;
  connectBroker: (process: SimulatedProcess) => Promise<unknown>;
  handlerIn: (process: SimulatedProcess) => Handler;
  loggerOf: (process: SimulatedProcess) => Logger;
}

const statsIntervalMs = 1_000;

/** The listener's main thread: what `listener/main.ts` wires, for one lock. */
export class SimulatedListener {
  private runner: TenureRunner | null = null;

  constructor(
    private readonly process: SimulatedProcess,
    private readonly means: ListenerMeans,
    private readonly send: (message: ListenerMessage) => void,
  ) {
    process.services = { connectBroker: () => means.connectBroker(process) };
  }

  receive(message: AgentMessage): void {
    const { runner } = this;
    switch (message.kind) {
      case 'init':
        return this.open();
      case 'prepare':
        return runner?.prepare(message);
      case 'unprepare':
        return runner?.unprepare(message.n);
      case 'start':
        return runner?.start(message);
      case 'deadline':
        return runner?.extend(message.token, message.deadlineNs);
      case 'rehearse':
        return runner?.rehearse(message.handOver);
      case 'drain':
        void runner?.drain(message);
        return;
      case 'resume':
        return runner?.resume(message.token);
      case 'end':
        return runner?.end(message.token);
      case 'ping':
        return this.send({ kind: 'pong', n: message.n });
      case 'exit':
        throw new Error('the end of the process is not its own to simulate');
    }
  }

  private open(): void {
    const { settings, region, pod, connectEtcd, handlerIn, loggerOf } = this.means;
    const client = connectEtcd(this.process);
    const holder = new GuardReader(client);
    const logger = loggerOf(this.process);
    const consumer = new AmqpConsumer({
      url: 'amqp://broker',
      queue: settings.queue,
      connectionName: this.process.name,
      logger,
    });
    const runner = new TenureRunner({
      settings,
      region,
      pod,
      consumer,
      handler: handlerIn(this.process),
      reader: { readHolder: () => holder.readHolder(settings.name) },
      attempts: new AttemptRecord(client, settings.name),
      store: new EtcdLock(client, settings.name, { report: () => {} }),
      metrics: emptyMetrics(),
      logger,
      send: this.send,
    });
    this.runner = runner;
    consumer.open();
    setInterval(() => this.send({ kind: 'stats', stats: [runner.stats()], metrics: null }), statsIntervalMs);
  }
}

const emptyMetrics = (): LockMetrics => {
  const histogram = { observe: () => {} } as unknown as LockMetrics['guardSeconds'];
  return {
    counts: {
      processed: 0,
      failed: 0,
      deadLettered: 0,
      requeued: 0,
      refused: 0,
      reads: { held: 0, lost: 0, unknown: 0 },
      inFlight: 0,
      lastFinishedAt: null,
    },
    handlerSeconds: histogram,
    guardSeconds: histogram,
  };
};
