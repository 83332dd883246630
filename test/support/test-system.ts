import { mkdirSync, writeFileSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { Client, Connection } from '@temporalio/client';
import { connect } from 'amqplib';
import { spawn } from 'node:child_process';
import { DemoPod, type Death } from '../../src/demo/demo-pods';
import { readLedger, type LedgerProcess } from '../../src/demo/ledger';
import type { PayloadEncryption } from '../../src/config/config';
import { dataConverterOf } from '../../src/temporal/data-converter';
import { checkLedger, type Verdict } from '../../src/demo/ledger-checker';
import { Publisher } from '../../src/demo/publisher';
import type { DevStack } from '../../src/dev/dev-stack';
import { isRunning, pidsWithEnvironment } from '../../src/dev/process-state';
import { EtcdClient } from '../../src/etcd/etcd-client';
import { EtcdLock } from '../../src/etcd/etcd-lock';
import { regionWorkflowId, statusQuery } from '../../workflows/contract';
import type { LockView } from '../../src/pod/lock-store';
import type { FencedBehaviour } from './fenced-handler';
import type { Behaviour } from './ledger-handler';
import { eventually } from './eventually';
import { sharedServers, uniqueName, type SharedServers } from './servers';

export interface TestSystemOptions {
  /** Default: the run's shared servers. */
  servers?: SharedServers;
  /** etcd addresses for the pods of a region, where they differ from the servers' (a proxy). */
  etcdFor?: Record<string, string[]>;
  /** Over the defaults of the tests: TTL 6 s, drain limit 10 s, stall limit 4 s, concurrency 8, prefetch 8. */
  lockSettings?: Record<string, unknown>;
  queueSettings?: Record<string, unknown>;
  /** Beside the locks. Default: none. */
  fileSettings?: Record<string, unknown>;
  /** Of every region's broker. Default: none. */
  managementUrl?: string;
  /** Default: the usual one. */
  verifyIntervalMs?: number;
  /** Locks in the same pods, each with a queue of its name: `<lock>`, `<lock>-2` and so on. Default 1. */
  lockCount?: number;
  /** Default: the ledger handler. */
  handler?: string;
  /** With which the test itself reads etcd, where it wants a login. */
  storeAccess?: { username: string; password: string; caFile: string; certFile?: string; keyFile?: string };
  /** Of the pods, for the test itself, which then reads their workflows. */
  encryption?: PayloadEncryption;
  /** Default: one that no other test uses. */
  lock?: string;
  /** Over a region's configuration. */
  configFor?: (region: string) => Record<string, unknown>;
  /** Of the pods and the command line, beside the ledger's folder. */
  environment?: NodeJS.ProcessEnv;
}

export interface CommandEnd {
  code: number | null;
  stdout: string;
  stderr: string;
}

const program = resolve(__dirname, '../../dist/src/cli/main.js');
const ledgerHandler = resolve(__dirname, '../../dist/test/support/ledger-handler.js');
const concurrency = 8;

export const testServersOf = (stack: DevStack): SharedServers => ({
  etcd: stack.etcdAddresses,
  rabbitmq: stack.rabbitmqUrl,
  temporal: stack.temporalAddress,
});

/**
 * Baton as its users run it, as real processes from dist/, on a lock and a queue of its own. Pods are
 * started by name; everything ends with `stop`.
 */
export class TestSystem {
  readonly lock: string;
  readonly pods = new Map<string, DemoPod>();
  readonly deaths: Death[] = [];
  publisher: Publisher | undefined;
  /** The command line that pods and commands run from now on: this build's, or another one's. */
  program = program;
  private readonly etcd: EtcdClient;
  /** One for each lock, in their order. */
  readonly stores: EtcdLock[];
  private connection: Connection | undefined;
  /** Without any, nobody has to wait for a Temporal that is not there. */
  private startedWorkflows = false;
  private nextOwnSeq = 1_000_000;
  private readonly ownSeqs: number[] = [];

  private constructor(
    readonly servers: SharedServers,
    readonly folder: string,
    private readonly options: TestSystemOptions,
  ) {
    const { storeAccess } = options;
    this.lock = options.lock ?? uniqueName('lock');
    const scheme = storeAccess ? 'https' : 'http';
    const endpoints = servers.etcd.map((address) => `${scheme}://${address}`);
    // The test's own looks are not what is measured: other tests share the machine, and a login is slow.
    this.etcd = new EtcdClient({ endpoints, ...storeAccess }, { requestTimeoutMs: 10_000 });
    this.stores = this.locks.map((lock) => new EtcdLock(this.etcd, lock, { report: () => {} }));
    for (const name of ['logs', 'ledger']) mkdirSync(join(folder, name));
    for (const region of this.regions) this.writeConfig(region);
  }

  static async create(options: TestSystemOptions = {}): Promise<TestSystem> {
    const folder = await mkdtemp(join(tmpdir(), 'baton-test-'));
    return new TestSystem(options.servers ?? sharedServers(), folder, options);
  }

  readonly regions = ['us-east', 'us-west'];

  get locks(): string[] {
    const others = (this.options.lockCount ?? 1) - 1;
    return [this.lock, ...Array.from({ length: others }, (_, i) => `${this.lock}-${i + 2}`)];
  }

  /** Of the first lock. */
  get store(): EtcdLock {
    return this.storeAt(0);
  }

  get secondStore(): EtcdLock {
    return this.storeAt(1);
  }

  private storeAt(index: number): EtcdLock {
    const store = this.stores[index];
    if (!store) throw new Error(`this system has ${this.stores.length} locks`);
    return store;
  }

  configFile(region = 'us-east'): string {
    return join(this.folder, `${region}.yaml`);
  }

  get ledgerFolder(): string {
    return join(this.folder, 'ledger');
  }

  get environment(): NodeJS.ProcessEnv {
    return { ...process.env, BATON_DEMO_LEDGER: this.ledgerFolder, ...this.options.environment };
  }

  /** Starts the region workflows of all regions. */
  async startRegions(): Promise<void> {
    await Promise.all(this.regions.map((region) => this.baton('start', '--region', region)));
  }

  /**
   * Starts the region workflows and these pods; returns when the first one holds every lock and all others are ready.
   * All boot at the same time: a cordon keeps the other regions from being first.
   */
  async bringUp(pods = ['us-east-a', 'us-west-a']): Promise<void> {
    const [first = ''] = pods;
    const elsewhere = this.regions.filter((region) => !first.startsWith(region));
    const isElsewhere = (pod: string): boolean => elsewhere.some((region) => pod.startsWith(region));
    const markAll = (kind: 'cordon' | 'uncordon'): Promise<unknown> => {
      const marks = elsewhere.map((region) => ({ kind, region, reason: `${first} is first`, by: 'jest' }));
      return Promise.all(this.stores.flatMap((store) => marks.map((mark) => store.mark(mark))));
    };
    await markAll('cordon');
    for (const pod of pods.filter((each) => each === first || isElsewhere(each))) this.startPod(pod);
    await this.startRegions();
    await this.untilHeldBy(first);
    await eventually(async () => {
      const views = await Promise.all(this.stores.map((store) => store.read()));
      if (views.some(({ holder }) => !holder)) throw new Error(`${first} does not hold every lock yet`);
    }, 40_000);
    await markAll('uncordon');
    for (const pod of pods.filter((each) => each !== first && !isElsewhere(each))) this.startPod(pod);
    for (const pod of pods) if (pod !== first) await this.untilReady(pod);
    const home = this.regions.find((region) => first.startsWith(region)) ?? '';
    await Promise.all(this.locks.map((lock) => this.untilKnown(lock, home)));
  }

  /** Until the region's workflow has heard of the tenure, which etcd shows a moment before. */
  private async untilKnown(lock: string, region: string): Promise<void> {
    const client = await this.temporalClient();
    const handle = client.workflow.getHandle(regionWorkflowId(lock, region));
    await eventually(async () => {
      const { phase } = await handle.query(statusQuery);
      if (phase !== 'active') throw new Error(`${region} is ${phase} by the word of its workflow`);
    }, 40_000);
  }

  /** Runs the command line; throws when it does not exit with 0, saying what it said. */
  async baton(...args: string[]): Promise<string> {
    const { code, stdout, stderr } = await this.tryBaton(...args);
    if (code !== 0) throw new Error(`baton ${args.join(' ')} exited with ${code}: ${stdout}${stderr}`);
    return stdout;
  }

  tryBaton(...args: string[]): Promise<CommandEnd> {
    return this.execute({}, ...args, '--config', this.configFile());
  }

  /** With more variables in its environment. Sends SIGTERM after 60 s. */
  tryBatonWith(variables: NodeJS.ProcessEnv, ...args: string[]): Promise<CommandEnd> {
    return this.execute({ variables, limitMs: 60_000 }, ...args, '--config', this.configFile());
  }

  tryVerify(file: string): Promise<CommandEnd> {
    return this.run('audit', 'verify', file);
  }

  /** A command that takes no configuration. */
  run(...args: string[]): Promise<CommandEnd> {
    return this.execute({}, ...args);
  }

  /** Sends SIGTERM when its output matches, and after 60 s in any case. */
  runUntil(pattern: RegExp, ...args: string[]): Promise<CommandEnd> {
    return this.execute({ pattern, limitMs: 60_000 }, ...args);
  }

  private execute(
    { pattern, variables, limitMs }: { pattern?: RegExp; variables?: NodeJS.ProcessEnv; limitMs?: number },
    ...args: string[]
  ): Promise<CommandEnd> {
    this.startedWorkflows ||= args[0] === 'start';
    const child = spawn(process.execPath, [this.program, ...args], {
      env: { ...this.environment, ...variables },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const timer = limitMs === undefined ? undefined : setTimeout(() => child.kill('SIGTERM'), limitMs);
    let [stdout, stderr] = ['', ''];
    child.stdout.on('data', (chunk: Buffer) => {
      stdout += String(chunk);
      if (pattern?.test(stdout) && !child.killed) child.kill('SIGTERM');
    });
    child.stderr.on('data', (chunk: Buffer) => (stderr += String(chunk)));
    return new Promise((done) =>
      child.on('close', (code) => {
        clearTimeout(timer);
        done({ code, stdout, stderr });
      }),
    );
  }

  /** Starts a pod such as `us-east-a`; started again under the same name it is another boot. */
  startPod(name: string): DemoPod {
    const region = this.regions.find((each) => name.startsWith(each)) ?? name;
    const known = this.pods.get(name);
    const pod =
      known ??
      new DemoPod(
        { region, name },
        {
          program,
          configFile: this.configFile(region),
          logFolder: join(this.folder, 'logs'),
          environment: this.environment,
          adopt: () => {},
          onUnexpectedExit: () => {},
        },
      );
    this.pods.set(name, pod);
    pod.start(this.program);
    return pod;
  }

  /** SIGTERM; returns when the agent has handed over and ended. */
  async endPod(name: string, limitMs = 30_000): Promise<void> {
    const pod = this.pod(name);
    const { agentPid } = pod;
    process.kill(agentPid, 'SIGTERM');
    const giveUpAt = Date.now() + limitMs;
    while (pod.pid !== undefined) {
      if (Date.now() > giveUpAt) throw new Error(`${name} still runs after ${limitMs} ms: ${pod.logTail()}`);
      await new Promise((done) => setTimeout(done, 10));
    }
  }

  /** SIGKILL to all its processes; returns when the agent is gone. */
  async killPod(name: string): Promise<void> {
    this.deaths.push(...this.pod(name).kill());
    while (this.pod(name).pid !== undefined) await new Promise((done) => setImmediate(done));
  }

  pod(name: string): DemoPod {
    const pod = this.pods.get(name);
    if (!pod) throw new Error(`no pod ${name}; there are ${[...this.pods.keys()].join(', ')}`);
    return pod;
  }

  /** The processes of a pod's present boot, the agent first. */
  processes(name: string): { agent: number; listeners: number[] } {
    const pod = this.pod(name);
    const agent = pod.agentPid;
    return { agent, listeners: pidsWithEnvironment(pod.environmentMark).filter((pid) => pid !== agent) };
  }

  /** The listener that works on messages: the newest of this pod's that wrote to the ledger. */
  activeListener(name: string): number {
    const own = new Set(this.processes(name).listeners);
    const newest = this.ledger()
      .filter(({ pid }) => own.has(pid))
      .map(({ pid, records }) => ({ pid, t: records.at(-1)?.t ?? 0n }))
      .toSorted((a, b) => Number(a.t - b.t))
      .at(-1);
    if (!newest) throw new Error(`no listener of ${name} has worked on a message yet`);
    return newest.pid;
  }

  /**
   * Resolves when the process, which others kill, is dead. Its last moment seen alive goes into the ledger's verdict:
   * seen dead, by a poll on a busy machine, can be later than the next holder's first message.
   */
  async noteDeath(pid: number): Promise<void> {
    let t = process.hrtime.bigint();
    while (isRunning(pid)) {
      t = process.hrtime.bigint();
      await new Promise((done) => setTimeout(done, 1));
    }
    this.deaths.push({ pid, t });
  }

  signal(pid: number, signal: NodeJS.Signals): void {
    if (signal === 'SIGKILL') this.deaths.push({ pid, t: process.hrtime.bigint() });
    process.kill(pid, signal);
  }

  view(): Promise<LockView> {
    return this.store.read();
  }

  /** Waits until the view is as wanted. */
  async until(what: string, check: (view: LockView) => boolean, limitMs = 40_000): Promise<LockView> {
    const giveUpAt = Date.now() + limitMs;
    let view: LockView | null = null;
    while (Date.now() < giveUpAt) {
      // A test may just have stopped etcd.
      view = await this.view().catch(() => null);
      if (view && check(view)) return view;
      await new Promise((done) => setTimeout(done, 10));
    }
    const logs = [...this.pods.values()].map((pod) => `--- ${pod.name}\n${pod.logTail()}`).join('\n');
    throw new Error(`not within ${limitMs} ms: ${what}; etcd shows ${JSON.stringify(view)}\n${logs}`);
  }

  untilHeldBy(prefix: string, limitMs?: number): Promise<LockView> {
    return this.until(`${prefix} holds`, (view) => view.holder?.pod.startsWith(prefix) ?? false, limitMs);
  }

  untilReady(name: string): Promise<LockView> {
    return this.until(`${name} is ready and standing`, ({ candidates }) =>
      candidates.some(
        ({ pod, state, standing }) => this.pod(name).owns(pod) && state === 'ready' && standing,
      ),
    );
  }

  /** Connects the publisher. The queue must exist, so: after the first pod is ready. */
  async connectPublisher(): Promise<Publisher> {
    this.publisher ??= await Publisher.connect(this.servers.rabbitmq, this.lock, () => {});
    return this.publisher;
  }

  /** One message that misbehaves; it counts as published. Its sequence number. */
  async publish(behave: Behaviour | FencedBehaviour): Promise<number> {
    const seq = this.nextOwnSeq++;
    const model = await connect(this.servers.rabbitmq);
    const channel = await model.createConfirmChannel();
    const body = Buffer.from(JSON.stringify({ seq, behave }));
    channel.sendToQueue(this.lock, body, { persistent: true, messageId: String(seq) });
    await channel.waitForConfirms();
    await model.close();
    this.ownSeqs.push(seq);
    return seq;
  }

  /** The ids of all messages published so far. */
  publishedIds(): string[] {
    return [...(this.publisher?.published ?? []), ...this.ownSeqs].map(String);
  }

  ledger(): LedgerProcess[] {
    return readLedger(this.ledgerFolder);
  }

  /** The number of handler calls that ended. */
  processed(): number {
    return this.ledger().reduce(
      (sum, { records }) => sum + records.filter((r) => r.event === 'end').length,
      0,
    );
  }

  /**
   * Stops publishing, waits until everything published has been worked on, and judges the ledger. What has piled up may
   * take a slow machine long: it gives up when nothing has been worked on for `limitMs`.
   */
  async settle(limitMs = 20_000): Promise<Verdict> {
    this.publisher?.pause();
    await this.publisher?.settle();
    let giveUpAt = Date.now() + limitMs;
    let verdict = await this.verdict();
    while (verdict.lost.length > 0 && Date.now() < giveUpAt) {
      await new Promise((done) => setTimeout(done, 100));
      const before = verdict.lost.length;
      verdict = await this.verdict();
      if (verdict.lost.length < before) giveUpAt = Date.now() + limitMs;
    }
    return verdict;
  }

  async verdict(): Promise<Verdict> {
    return checkLedger({
      published: [...(this.publisher?.published ?? []), ...this.ownSeqs],
      processes: this.ledger(),
      receipts: await this.store.listReceipts(1_000),
      deaths: this.deaths,
      concurrency,
    });
  }

  async untilProcessed(count: number, limitMs = 40_000): Promise<void> {
    const giveUpAt = Date.now() + limitMs;
    while (this.processed() < count) {
      if (Date.now() > giveUpAt)
        await this.until(`${count} messages are processed, ${this.processed()} are`, () => false, 0);
      await new Promise((done) => setTimeout(done, 20));
    }
  }

  async temporalClient(): Promise<Client> {
    this.connection ??= await Connection.connect({ address: this.servers.temporal });
    const { encryption } = this.options;
    return new Client({
      connection: this.connection,
      ...(encryption && { dataConverter: dataConverterOf({ encryption }) }),
    });
  }

  /** The pod's log lines whose message contains the text. */
  async logLines(name: string, text: string): Promise<Record<string, unknown>[]> {
    const log = await readFile(this.pod(name).logFile, 'utf8');
    return log
      .split('\n')
      .filter((line) => line.startsWith('{'))
      .map((line) => JSON.parse(line) as Record<string, unknown>)
      .filter((entry) => String(entry['msg']).includes(text));
  }

  /** Idempotent. Kills what runs, and deletes the queues and the folder. */
  async stop(): Promise<void> {
    for (const pod of this.pods.values()) pod.kill();
    this.etcd.close();
    await this.terminateWorkflows();
    await this.connection?.close();
    await this.publisher?.close();
    try {
      const model = await connect(this.servers.rabbitmq, { timeout: 5_000 });
      const channel = await model.createChannel();
      for (const queue of this.locks) {
        await channel.deleteQueue(queue);
        await channel.deleteQueue(`${queue}.dead`);
        await channel.deleteExchange(`${queue}.dead`);
      }
      await model.close();
    } catch {
      // The test has ended the broker; its queues went with it.
    }
    await rm(this.folder, { recursive: true, force: true });
  }

  /** Or the next test's pods, which poll the same region queues, would carry on with them. */
  private async terminateWorkflows(): Promise<void> {
    if (!this.startedWorkflows) return;
    try {
      const client = await this.temporalClient();
      for (const id of this.locks.flatMap((lock) => this.regions.map((each) => regionWorkflowId(lock, each))))
        await client.withDeadline(Date.now() + 5_000, () =>
          client.workflow.getHandle(id).terminate('the test is over'),
        );
    } catch {
      // Not started, or the test has ended its server.
    }
  }

  private writeConfig(region: string): void {
    const { servers, options } = this;
    const endpoints = (options.etcdFor?.[region] ?? servers.etcd).map((address) => `http://${address}`);
    const config = {
      regions: Object.fromEntries(
        this.regions.map((each) => [
          each,
          {
            amqpUrl: servers.rabbitmq,
            ...(options.managementUrl !== undefined && { managementUrl: options.managementUrl }),
          },
        ]),
      ),
      etcd: { endpoints },
      temporal: { address: servers.temporal, namespace: 'default' },
      health: { host: '127.0.0.1', port: 0 },
      logLevel: 'debug',
      ...(options.verifyIntervalMs !== undefined && { verifyIntervalMs: options.verifyIntervalMs }),
      ...options.fileSettings,
      locks: Object.fromEntries(
        this.locks.map((name) => [
          name,
          {
            // So that a machine that stalls for a second costs nobody the lease or the listener.
            leaseTtlMs: 6_000,
            drainLimitMs: 10_000,
            stallLimitMs: 4_000,
            beatMs: 1_000,
            ...options.lockSettings,
            queue: { name, concurrency, prefetch: concurrency, ...options.queueSettings },
            handler: options.handler ?? ledgerHandler,
          },
        ]),
      ),
      ...options.configFor?.(region),
    };
    writeFileSync(this.configFile(region), JSON.stringify(config, null, 2));
  }
}
