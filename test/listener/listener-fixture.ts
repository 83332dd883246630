import { fork, type ChildProcess } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import type { Writable } from 'node:stream';
import { connect, type ChannelModel, type ConfirmChannel, type GetMessage } from 'amqplib';
import type { LockSettings } from '../../src/config/config';
import { watchdogFd, type AgentMessage, type ListenerMessage } from '../../src/listener/protocol';
import { encodeSet } from '../../src/listener/watchdog-frames';
import type { HolderChange } from '../../src/pod/lock-store';
import { LockFixture } from '../etcd/lock-fixture';
import { eventually } from '../support/eventually';
import { sharedServers } from '../support/servers';
import type { Note, Order } from './scripted-handler';

export interface FixtureOptions {
  queue?: Partial<LockSettings['queue']>;
  settings?: Partial<LockSettings>;
  amqpUrl?: string;
}

export type Kind<K extends ListenerMessage['kind']> = Extract<ListenerMessage, { kind: K }>;

const dist = resolve(__dirname, '../../dist');

/** A lock and a queue of its own on the shared servers, and listener processes forked as an agent forks them. */
export class ListenerFixture {
  readonly locks = new LockFixture();
  readonly lock = this.locks.lock;
  readonly settings: LockSettings;
  readonly children: ListenerChild[] = [];
  readonly folder = mkdtempSync(join(tmpdir(), 'baton-listener-'));
  readonly log = join(this.folder, 'notes.jsonl');
  private broker!: ChannelModel;
  channel!: ConfirmChannel;
  private leaseId = '';

  constructor(readonly options: FixtureOptions = {}) {
    this.settings = {
      name: this.lock,
      leaseTtlMs: 120_000,
      deadlineMarginMs: 3_000,
      keeperIntervalMs: 10_000,
      abortLeadMs: 100,
      beatMs: 30_000,
      drainLimitMs: 30_000,
      stallLimitMs: 5_000,
      healthLimitMs: 10_000,
      verificationMaxAgeMs: 1_000,
      requestTimeoutMs: 5_000,
      minSwitchIntervalMs: 0,
      maxChangesPerHour: 6,
      approvalWithinMs: 0,
      hooks: [],
      maxFailureRate: 1,
      preference: { order: [], never: [], failback: null },
      historyLimit: 10_000,
      drill: { objectiveMs: null, crashObjectiveMs: null, allowCrash: false },
      handler: join(dist, 'test/listener/scripted-handler.js'),
      process: 'shared',
      ...options.settings,
      queue: {
        name: this.lock,
        declare: true,
        deadLetterExchange: `${this.lock}.dead`,
        deliveryLimit: 100,
        prefetch: 20,
        concurrency: 5,
        maxDeliveries: 3,
        heartbeatSeconds: 5,
        ...options.queue,
      },
    };
  }

  async open(): Promise<this> {
    this.broker = await connect(sharedServers().rabbitmq);
    this.broker.on('error', () => {});
    this.channel = await this.broker.createConfirmChannel();
    return this;
  }

  /** A process that has been told its settings. */
  fork(): ListenerChild {
    const child = new ListenerChild(this);
    this.children.push(child);
    return child;
  }

  async forkWarm(): Promise<ListenerChild> {
    const child = this.fork();
    await child.next('warm');
    return child;
  }

  /** Makes `pod` holder and tells the child so. */
  async startTenure(child: ListenerChild, deadlineInMs = 120_000): Promise<number> {
    const { token, leaseId } = await this.acquire();
    child.startTenure(token, leaseId, deadlineInMs);
    return token;
  }

  /** The candidate of `pod`, with its lease. */
  async stand(): Promise<{ leaseId: string }> {
    this.leaseId ||= (await this.locks.stand('here', 'pod', 120_000)).leaseId;
    return { leaseId: this.leaseId };
  }

  async acquire(): Promise<{ token: number; leaseId: string }> {
    await this.stand();
    await this.locks.deleteRaw(this.locks.keys.holder);
    const { token } = await this.locks.acquire({ region: 'here', pod: 'pod' });
    return { token, leaseId: this.leaseId };
  }

  async publish(orders: Order[], more: { messageId?: (order: Order) => string } = {}): Promise<void> {
    for (const order of orders) {
      this.channel.sendToQueue(this.settings.queue.name, Buffer.from(JSON.stringify(order)), {
        persistent: true,
        ...(more.messageId ? { messageId: more.messageId(order) } : {}),
      });
    }
    await this.channel.waitForConfirms();
  }

  notes(event?: Note['event']): Note[] {
    let text = '';
    try {
      text = readFileSync(this.log, 'utf8');
    } catch {
      // Nothing was handled yet.
    }
    const lines = text.split('\n').slice(0, -1);
    const notes = lines.map((line) => JSON.parse(line) as Note);
    return event ? notes.filter((note) => note.event === event) : notes;
  }

  async deadLetters(): Promise<GetMessage[]> {
    const found: GetMessage[] = [];
    for (;;) {
      const message = await this.channel.get(this.settings.queue.deadLetterExchange, { noAck: true });
      if (!message) return found;
      found.push(message);
    }
  }

  /** Ready messages in the queue. */
  async ready(): Promise<number> {
    return (await this.channel.checkQueue(this.settings.queue.name)).messageCount;
  }

  async close(): Promise<void> {
    for (const child of this.children) await child.kill();
    const { name, deadLetterExchange } = this.settings.queue;
    const channel = await this.broker.createChannel();
    await channel.deleteQueue(name);
    await channel.deleteQueue(deadLetterExchange);
    await channel.deleteExchange(deadLetterExchange);
    await this.broker.close();
    await this.locks.close();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** One listener process, and what it has said. */
export class ListenerChild {
  readonly process: ChildProcess;
  readonly messages: ListenerMessage[] = [];
  readonly watchdog: Writable;
  readonly exited: Promise<{ code: number | null; signal: string | null; at: number }>;
  private readonly seen = new Map<string, number>();

  constructor(private readonly fixture: ListenerFixture) {
    this.process = fork(join(dist, 'src/listener/main.js'), [], {
      serialization: 'advanced',
      detached: true,
      stdio: ['ignore', process.env['BATON_TEST_SHOW'] ? 'inherit' : 'ignore', 'inherit', 'ipc', 'pipe'],
      env: { ...process.env, BATON_TEST_LOG: fixture.log },
    });
    this.watchdog = this.process.stdio[watchdogFd] as Writable;
    this.watchdog.on('error', () => {});
    this.process.on('message', (message) => this.messages.push(message as ListenerMessage));
    this.exited = new Promise((done) => {
      this.process.once('exit', (code, signal) => done({ code, signal, at: performance.now() }));
    });
    const { settings, options } = fixture;
    const { etcd, rabbitmq } = sharedServers();
    this.send({
      kind: 'init',
      region: 'here',
      pod: 'pod',
      etcd: { endpoints: etcd },
      locks: [{ settings, amqpUrl: options.amqpUrl ?? rabbitmq }],
      logLevel: 'info',
    });
  }

  send(message: AgentMessage): void {
    this.process.send(message);
  }

  /** Consumes ahead for a tenure on the lease, above the token. */
  prepare(leaseId: string, afterToken: number, deadlineInMs = 120_000, offered = true): void {
    const { lock } = this.fixture;
    const prepare = { lock, offered, leaseId, afterToken, deadlineNs: nsIn(deadlineInMs), marginMs: 3_000 };
    this.watchdog.write(encodeSet({ ...prepare, token: afterToken }));
    this.send({ kind: 'prepare', ...prepare });
  }

  startTenure(token: number, leaseId: string, deadlineInMs: number): void {
    const start = {
      lock: this.fixture.lock,
      token,
      leaseId,
      deadlineNs: nsIn(deadlineInMs),
      marginMs: 3_000,
    };
    this.watchdog.write(encodeSet(start));
    this.send({ kind: 'start', ...start });
  }

  drain(token: number, limitMs = 15_000, handOver?: HolderChange): Promise<Kind<'drained'>> {
    const order = { kind: 'drain' as const, lock: this.fixture.lock, token, limitMs };
    this.send({ ...order, ...(handOver && { handOver }) });
    return this.next('drained', limitMs + 15_000);
  }

  /** The next message of this kind that was not asked for before. */
  next<K extends ListenerMessage['kind']>(kind: K, limitMs = 20_000): Promise<Kind<K>> {
    const index = this.seen.get(kind) ?? 0;
    this.seen.set(kind, index + 1);
    return eventually(() => {
      const found = this.messages.filter((message) => message.kind === kind)[index];
      if (!found) throw new Error(`no ${kind} among ${JSON.stringify(this.messages.map((m) => m.kind))}`);
      return found as Kind<K>;
    }, limitMs);
  }

  get hasExited(): boolean {
    return this.process.exitCode !== null || this.process.signalCode !== null;
  }

  async kill(): Promise<void> {
    if (!this.hasExited) process.kill(-(this.process.pid as number), 'SIGKILL');
    await this.exited;
  }
}

export const nsIn = (ms: number): bigint => process.hrtime.bigint() + BigInt(Math.round(ms * 1e6));
