import { randomBytes } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Party, Receipt } from '../../workflows/contract';
import { BatonClient } from '../client/baton-client';
import type { DemoPod } from '../demo/demo-pods';
import { readLedger } from '../demo/ledger';
import { checkLedger } from '../demo/ledger-checker';
import { Observer } from '../demo/observer';
import { Publisher } from '../demo/publisher';
import { type DevStack, startDevStack } from '../dev/dev-stack';
import { hasGivenServers } from '../dev/given-servers';
import { EtcdClient } from '../etcd/etcd-client';
import { EtcdLock } from '../etcd/etcd-lock';
import { handlerVariable, ledgerVariable, TestConfig } from './test-config';
import { TestPods } from './test-pods';
import { judged, type TestVerdict } from './test-verdict';
import { removeTraces } from './traces';

export interface TestSystemOptions {
  /** The project's configuration. Default: `baton.yaml` in the working folder. */
  config?: string;
  /** Which of its locks. Default: the only one. */
  lock?: string;
  /** Pods in each region, named `<region>-1` and so on. Default 1. */
  podsPerRegion?: number;
  /** The content of message `n`, which becomes JSON. Its `messageId` is `String(n)`. Default: `{ seq: n }`. */
  message?: (n: number) => unknown;
  /** Whole seconds in ms, from 2,000. Instead of the configuration's, so that a test need not wait long. Default 3,000. */
  leaseTtlMs?: number;
  /** More variables for the pods, and so for the handler. `BATON_` and `TEMPORAL_` ones of this process are left out. */
  environment?: Record<string, string>;
  /** Gets one line for each step. Default: nothing is said. */
  onProgress?: (line: string) => void;
}

/** A killed pod, and who took over. */
export interface Takeover {
  from: Party;
  to: Party;
}

const BRING_UP_LIMIT_MS = 90_000;
const PATIENCE_MS = 30_000;
const QUIET_MS = 500;
const RECEIPTS_READ = 1_000;
const never = new AbortController().signal;

/**
 * Starts real servers and a project's pods as its regions would run them, on this machine, and returns when the first
 * region holds the lock and every other pod is ready to take over: ten to twenty seconds. etcd, RabbitMQ and Temporal
 * are its own, on free ports, and end with {@link TestSystem.stop} or with this process; where `BATON_DEV_ETCD`
 * (`host:port`), `BATON_DEV_RABBITMQ` (`amqp://…`) or `BATON_DEV_TEMPORAL` (`host:port`) is set, that server is used, with
 * a lock and a queue of the test's own name, removed at the end.
 *
 * @throws ConfigError when the project's configuration cannot be used; Error naming each program that is missing, and
 * how to install it; Error with the ends of the logs when something does not come up. Nothing is left running.
 */
export async function startTestSystem(options: TestSystemOptions = {}): Promise<TestSystem> {
  const { lock, leaseTtlMs = 3_000, onProgress = () => {} } = options;
  // Others may use servers that were given, under the same names.
  const suffix = hasGivenServers() ? `-test-${randomBytes(4).toString('hex')}` : '';
  const config = new TestConfig(resolve(options.config ?? 'baton.yaml'), { lock, leaseTtlMs, suffix });
  const stack = await startDevStack({ onProgress });
  let system: TestSystem | undefined;
  try {
    system = new TestSystem(stack, config, options);
    await system.bringUp();
    return system;
  } catch (error) {
    await (system ?? stack).stop();
    throw error;
  }
}

/** Two or more regions of a project, on real servers; see {@link startTestSystem}. Every wait ends with an error after a while. */
export class TestSystem {
  /** As the pods know them: the configuration's, with an ending of their own on servers that were given. */
  readonly lock: string;
  readonly queue: string;
  readonly regions: readonly string[];
  /** For the command line, as `BATON_CONFIG`, while the system is up. */
  readonly configFile: string;
  private readonly ledgerFolder: string;
  private readonly pods: TestPods;
  private readonly etcd: EtcdClient;
  private readonly store: EtcdLock;
  private readonly observer: Observer;
  private readonly client: BatonClient;
  private opened: Publisher | undefined;
  private stopping: Promise<void> | undefined;

  /** @internal */
  constructor(
    private readonly stack: DevStack,
    private readonly config: TestConfig,
    private readonly options: TestSystemOptions,
  ) {
    this.ledgerFolder = join(stack.folder, 'ledger');
    const logFolder = join(stack.folder, 'logs');
    for (const folder of [logFolder, this.ledgerFolder]) mkdirSync(folder, { recursive: true });
    this.lock = config.lock;
    this.queue = config.queue;
    this.regions = config.regions;
    this.configFile = config.write(stack.folder, {
      etcd: stack.etcdAddresses,
      rabbitmq: stack.rabbitmqUrl,
      temporal: stack.temporalAddress,
    });
    const environment = this.environment();
    this.client = BatonClient.open({ config: this.configFile, env: environment, onProblem: this.say });
    this.etcd = new EtcdClient({ endpoints: stack.etcdAddresses.map((address) => `http://${address}`) });
    this.store = new EtcdLock(this.etcd, this.lock, { report: this.say });
    this.observer = new Observer(
      () => this.store.read(),
      this.ledgerFolder,
      () => undefined,
    );
    this.pods = new TestPods({
      ...{ regions: this.regions, podsPerRegion: options.podsPerRegion ?? 1 },
      ...{ configFile: this.configFile, logFolder, environment },
      adopt: (pid: number) => stack.adopt(pid, { group: true }),
      onUnexpectedExit: (pod: DemoPod, how: string) => this.say(`${pod.name} ended ${how}`),
    });
  }

  /** The region whose pod holds the lock; `null` for none. */
  get activeRegion(): string | null {
    return this.observer.view?.holder?.region ?? null;
  }

  /** Messages finished at least once. */
  get processed(): number {
    return this.observer.finished.size;
  }

  /** Publishes persistent messages at this rate until {@link settle}. Called again it changes the rate. */
  publish(messagesPerSecond: number): void {
    this.publisher.start(messagesPerSecond);
  }

  /** Returns when so many more messages are finished than now. */
  async untilProcessed(more: number): Promise<void> {
    const wanted = this.processed + more;
    await this.until(`${wanted} messages were processed`, PATIENCE_MS, () => this.processed >= wanted);
  }

  /** A planned switch. Returns its receipt. @throws NotSwitchedError when the region did not become active. */
  async switchTo(region: string): Promise<Receipt | null> {
    const why = { reason: 'a test', by: 'baton/testing' };
    const { receipt } = await this.client.switchTo({ lock: this.lock, to: region, ...why });
    await this.until(`${region} was seen to hold the lock`, PATIENCE_MS, () => this.activeRegion === region);
    return receipt;
  }

  /**
   * SIGKILL to all processes of the pod that holds the lock, as when its machine is lost. Returns when another pod
   * holds it, after the lease's TTL. {@link startPod} starts the dead one again.
   */
  async killHolder(): Promise<Takeover> {
    const before = this.observer.view?.holder;
    if (!before) throw new Error(`no pod holds ${this.lock}`);
    this.pods.kill(before.pod);
    const limitMs = 3 * this.config.settings.leaseTtlMs + PATIENCE_MS;
    const next = await this.until('another pod took over', limitMs, () => {
      const holder = this.observer.view?.holder;
      return holder && holder.token > before.token ? holder : null;
    });
    const partyOf = ({ region, pod: name, token }: Party): Party => ({ region, pod: name, token });
    return { from: partyOf(before), to: partyOf(next) };
  }

  /** Starts a killed pod again, `us-east-1` for instance, and returns when it is ready to take over. */
  async startPod(name: string): Promise<void> {
    this.pods.start(name);
    await this.until(`${name} was ready`, BRING_UP_LIMIT_MS, () =>
      this.pods.isReady(name, this.observer.view),
    );
  }

  /**
   * Ends publishing, waits until every published message was worked on, or none was for 30 s, and judges the ledger.
   * The system stays up.
   */
  async settle(): Promise<TestVerdict> {
    this.publisher.pause();
    await this.publisher.settle();
    let [best, giveUpAt] = [-1, 0];
    while (
      [...this.publisher.published].some((seq) => !this.observer.finished.has(seq)) &&
      (this.processed > best || Date.now() < giveUpAt)
    ) {
      if (this.processed > best) [best, giveUpAt] = [this.processed, Date.now() + PATIENCE_MS];
      await sleep(100);
    }
    await sleep(QUIET_MS); // What is delivered a second time comes now.
    const { published } = this.publisher;
    const verdict = checkLedger({
      published,
      processes: readLedger(this.ledgerFolder),
      receipts: await this.store.listReceipts(RECEIPTS_READ),
      deaths: this.pods.deaths,
      concurrency: this.config.settings.queue.prefetch,
    });
    return judged(verdict, published);
  }

  /** Ends everything that was started, and removes its folder. Idempotent. */
  stop(): Promise<void> {
    this.stopping ??= this.stopAll();
    return this.stopping;
  }

  /** @internal */
  async bringUp(): Promise<void> {
    const [first = '', ...others] = this.regions;
    this.observer.start();
    this.say(`starting the pods of ${first}`);
    this.pods.startRegion(first);
    for (const region of this.regions) await this.client.start(this.lock, region);
    await this.until(`a pod of ${first} held the lock`, BRING_UP_LIMIT_MS, () => this.activeRegion === first);
    this.say(`${first} is active; starting the other regions`);
    for (const region of others) this.pods.startRegion(region);
    const { message = (n: number) => ({ seq: n }) } = this.options;
    this.opened = await Publisher.connect(this.stack.rabbitmqUrl, this.queue, this.say, 1, message);
    await this.until('every other pod was ready', BRING_UP_LIMIT_MS, () =>
      this.pods.othersAreReady(this.observer.view),
    );
  }

  private async stopAll(): Promise<void> {
    this.observer.stop();
    await this.opened?.close();
    this.pods.killAll();
    await this.client.close();
    this.etcd.close();
    if (hasGivenServers()) await removeTraces(this.stack, this.queue, this.lock, this.regions);
    await this.stack.stop();
  }

  private get publisher(): Publisher {
    if (!this.opened) throw new Error('the publisher is not connected yet');
    return this.opened;
  }

  /** Adds to what failed what the pods said last. */
  private async until<T>(
    what: string,
    limitMs: number,
    look: () => T | null | undefined | false,
  ): Promise<T> {
    try {
      return await this.observer.until(what, limitMs, never, look);
    } catch (error) {
      const message = `${(error as Error).message}; the ends of the pods' logs:\n${this.pods.logTails()}`;
      throw new Error(message, { cause: error });
    }
  }

  private environment(): NodeJS.ProcessEnv {
    const own = Object.entries(process.env).filter(([name]) => !/^(BATON|TEMPORAL)_/.test(name));
    return {
      ...Object.fromEntries(own),
      ...this.options.environment,
      ...this.stack.environment,
      [handlerVariable]: this.config.handler,
      [ledgerVariable]: this.ledgerFolder,
    };
  }

  private readonly say = (line: string): void => this.options.onProgress?.(line);
}
