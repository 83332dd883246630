import { fork, type ChildProcess } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { LockSettings } from '../config/config';
import { loadConfig } from '../config/load-config';
import { EtcdClient } from '../etcd/etcd-client';
import { get, put, remove } from '../etcd/holder-transaction';
import { encodeValue, LockKeys, revisionNumber } from '../etcd/lock-keys';
import { ListenerProcess } from '../pod/listener-process';
import type { BenchContext } from './bench';
import type { ConsumerAnswer, ConsumerOrder, Strategy } from './throughput-consumer';

/** How a queue is consumed: with this prefetch, and as many handlers at once, each taking so long. */
export interface Load {
  prefetch: number;
  handlerMs: number;
}

/** Round trip to etcd, where it is not near. */
export const farMs = 40;

/** A consumer that can be started and stopped many times. */
export interface ThroughputSystem {
  readonly name: string;
  /** Where its handler leaves the notes of a round. */
  readonly folder: string;
  /** Of the queue that it consumes under this load. */
  queueOf(load: Load): string;
  consume(load: Load): Promise<void>;
  /** What was not handled is back in the queue afterwards. */
  stop(): Promise<void>;
  /** Ends its process. Idempotent. */
  close(): Promise<void>;
}

export const loadName = ({ prefetch, handlerMs }: Load): string => `p${prefetch}-h${handlerMs}`;

/** amqplib without Baton, in a process of its own. */
export class PlainConsumer implements ThroughputSystem {
  /** What the reads beside took in the last round. */
  readsMs: number[] = [];
  private readonly child: ChildProcess;

  constructor(
    readonly name: string,
    readonly folder: string,
    private readonly strategy: Strategy,
    readonly queueOf: (load: Load) => string,
    context: BenchContext,
  ) {
    mkdirSync(folder, { recursive: true });
    this.child = fork(join(__dirname, 'throughput-consumer.js'), [], { serialization: 'advanced' });
    if (this.child.pid !== undefined) context.stack.adopt(this.child.pid);
  }

  open(amqpUrl: string, etcd: string[], lock: string): Promise<void> {
    return this.order({ kind: 'open', amqpUrl, etcd, lock, folder: this.folder });
  }

  consume(load: Load): Promise<void> {
    const { strategy } = this;
    return this.order({ kind: 'consume', ...load, queue: this.queueOf(load), strategy, waitMs: farMs });
  }

  stop(): Promise<void> {
    return this.order({ kind: 'stop' });
  }

  async close(): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const exited = new Promise((resolve) => this.child.once('exit', resolve));
    this.child.kill('SIGKILL');
    await exited;
  }

  private order(order: ConsumerOrder): Promise<void> {
    return new Promise((resolve, reject) => {
      const gone = (): void => reject(new Error(`${this.name}: its process has ended at "${order.kind}"`));
      this.child.once('exit', gone);
      this.child.once('message', ({ readsMs }: ConsumerAnswer) => {
        this.child.off('exit', gone);
        if (order.kind === 'stop') this.readsMs = readsMs;
        resolve();
      });
      this.child.send(order);
    });
  }
}

/** What the listener says of itself, all loads together. */
export interface VerifiedCount {
  /** Messages seen to be covered by a read that began after they were received. */
  verified: number;
  /** Reads that showed the tenure as holder. */
  reads: number;
}

const region = 'bench';
const stopLimitMs = 10_000;

/**
 * Baton's listener process as an agent runs it, with one lock per load, and a holder key under a lease that this
 * process keeps alive.
 */
export class BatonListener implements ThroughputSystem {
  private readonly pod = `throughput-${randomUUID().slice(0, 8)}`;
  private readonly locks: Map<string, LockSettings>;
  private readonly listener: ListenerProcess;
  private readonly client: EtcdClient;
  private leaseId = '';
  private deadlineNs = 0n;
  private keeper: NodeJS.Timeout | null = null;
  private tenure: { lock: string; token: number } | null = null;
  private metrics: unknown = [];

  constructor(
    readonly name: string,
    readonly folder: string,
    loads: Load[],
    private readonly queuePrefix: string,
    etcd: string[],
    private readonly context: BenchContext,
  ) {
    const config = writeConfig(folder, loads, queuePrefix, etcd, context.stack.rabbitmqUrl);
    const amqpUrl = context.stack.rabbitmqUrl;
    this.locks = new Map(config.locks.map((lock) => [lock.name, lock]));
    this.client = new EtcdClient({ endpoints: context.stack.etcdAddresses });
    this.listener = new ListenerProcess({
      region,
      pod: this.pod,
      etcd: config.etcd,
      locks: config.locks.map((settings) => ({ settings, amqpUrl })),
      logLevel: process.env['BATON_BENCH_LOG'] ?? 'fatal',
    });
    this.listener.on('metrics', (snapshot) => (this.metrics = snapshot));
    context.stack.adopt(this.listener.pid, { group: true });
  }

  get pid(): number {
    return this.listener.pid;
  }

  queueOf(load: Load): string {
    return `${this.queuePrefix}${loadName(load)}`;
  }

  lockOf(load: Load): string {
    return this.queueOf(load);
  }

  async open(): Promise<void> {
    const ttlMs = [...this.locks.values()][0]?.leaseTtlMs ?? 10_000;
    const marginMs = this.marginMs;
    this.leaseId = (await this.client.grantLease(ttlMs)).leaseId;
    const extend = async (): Promise<void> => {
      const sentNs = process.hrtime.bigint();
      await this.client.keepAlive(this.leaseId);
      this.deadlineNs = sentNs + BigInt((ttlMs - marginMs) * 1e6);
      if (this.tenure) this.listener.extend({ ...this.tenure, deadlineNs: this.deadlineNs, marginMs });
    };
    await extend();
    this.keeper = setInterval(() => {
      // The deadline stands if it fails, and ends the listener.
      extend().catch((error: Error) => this.context.say(`throughput: lease: ${error.message}`));
    }, ttlMs / 3);
    for (const lock of this.locks.keys())
      while (!this.listener.isWarm(lock)) {
        if (!this.listener.isAlive) throw new Error(`the listener has ended: ${await this.listener.exited}`);
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
  }

  async consume(load: Load): Promise<void> {
    const lock = this.lockOf(load);
    // Warm again after the last tenure's drain.
    while (!this.listener.isWarm(lock)) await new Promise((resolve) => setTimeout(resolve, 5));
    const { holder } = new LockKeys(lock);
    const value = encodeValue('holder', { region, pod: this.pod, since: new Date().toISOString() });
    const { responses } = await this.client.txn('become holder', {
      success: [put(holder, value, this.leaseId), get(holder)],
    });
    const token = revisionNumber(responses[1]?.response_range.kvs[0]?.mod_revision ?? 0);
    const consuming = new Promise<void>((resolve, reject) => {
      this.listener.once('consuming', () => resolve());
      this.listener.once('halted', (_lock, _token, why) => reject(new Error(`halted: ${why}`)));
      this.listener.once('exit', (why) => reject(new Error(`the listener has ended: ${why}`)));
    });
    this.tenure = { lock, token };
    const { leaseId, deadlineNs, marginMs } = this;
    this.listener.start({ lock, token, leaseId, deadlineNs, marginMs });
    await consuming.finally(() => {
      for (const event of ['consuming', 'halted', 'exit'] as const) this.listener.removeAllListeners(event);
    });
  }

  async stop(): Promise<void> {
    if (!this.tenure) return;
    const { lock, token } = this.tenure;
    const { complete } = await this.listener.drain({ lock, token, limitMs: stopLimitMs, answerMs: 2_000 });
    this.tenure = null;
    if (!complete) throw new Error(`${this.name}: the listener could not be drained`);
    this.listener.end(lock, token);
  }

  /** As of a statistics message that was sent after this call. */
  async verifiedCount(): Promise<VerifiedCount> {
    for (let message = 0; message < 2; message += 1)
      await new Promise<void>((resolve, reject) => {
        this.listener.once('metrics', () => resolve());
        this.listener.once('exit', (why) => reject(new Error(`the listener has ended: ${why}`)));
      });
    this.listener.removeAllListeners('exit');
    return {
      verified: sumOf(this.metrics, 'baton_guard_seconds', 'baton_guard_seconds_count'),
      reads: sumOf(this.metrics, 'baton_guard_reads_total'),
    };
  }

  async close(): Promise<void> {
    if (this.keeper) clearInterval(this.keeper);
    this.keeper = null;
    if (!this.listener.isAlive) return;
    await this.listener.kill('the bench is over');
    if (this.leaseId) await this.client.revokeLease(this.leaseId);
    const removals = [...this.locks.keys()].map((lock) => remove(new LockKeys(lock).holder));
    await this.client.txn('clean up', { success: removals });
    this.client.close();
  }

  private get marginMs(): number {
    return [...this.locks.values()][0]?.deadlineMarginMs ?? 1_000;
  }
}

/** All settings but the prefetch are the defaults. */
function writeConfig(
  folder: string,
  loads: Load[],
  queuePrefix: string,
  etcd: string[],
  amqpUrl: string,
): ReturnType<typeof loadConfig> {
  mkdirSync(folder, { recursive: true });
  const handler = (handlerMs: number): string => {
    const file = join(folder, `handler-${handlerMs}.js`);
    const made = JSON.stringify(join(__dirname, 'throughput-handler.js'));
    writeFileSync(
      file,
      `exports.handle = require(${made}).handlerOf(${JSON.stringify(folder)}, ${handlerMs});\n`,
    );
    return file;
  };
  const locks = loads.map((load): [string, unknown] => {
    const { prefetch, handlerMs } = load;
    const name = `${queuePrefix}${loadName(load)}`;
    return [name, { handler: handler(handlerMs), queue: { name, prefetch, concurrency: prefetch } }];
  });
  const file = join(folder, 'baton.yaml');
  const content = {
    regions: { [region]: { amqpUrl } },
    etcd: { endpoints: etcd.map((address) => `http://${address}`) },
    locks: Object.fromEntries(locks),
  };
  writeFileSync(file, JSON.stringify(content));
  return loadConfig({ file, env: {}, region, cwd: folder });
}

function sumOf(snapshot: unknown, metric: string, series?: string): number {
  const metrics = snapshot as { name: string; values: { metricName?: string; value: number }[] }[];
  const values = metrics.find(({ name }) => name === metric)?.values ?? [];
  return values
    .filter(({ metricName }) => series === undefined || metricName === series)
    .reduce((sum, { value }) => sum + value, 0);
}
