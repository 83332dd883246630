import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { setPriority } from 'node:os';
import { join, resolve } from 'node:path';
import { regionWorkflowId, type Receipt } from '../../workflows/contract';
import { BatonClient } from '../client/baton-client';
import { type RunningDashboard, startDashboard } from '../dashboard/dashboard';
import { startDevStack, type DevStack } from '../dev/dev-stack';
import { elsewherePriority } from '../dev/lower-priority';
import { EtcdClient } from '../etcd/etcd-client';
import { EtcdLock } from '../etcd/etcd-lock';
import type { LockView } from '../pod/lock-store';
import { DemoPod } from './demo-pods';
import { Observer } from './observer';
import { Publisher } from './publisher';

export const lock = 'orders';
export const regions = ['us-east', 'us-west'] as const;
/** Handlers that run at once. */
export const concurrency = 8;

const POD_LETTERS = ['a', 'b'];
const FIRST_HOLDER_LIMIT_MS = 45_000;
const ALL_READY_LIMIT_MS = 30_000;
const COMMAND_LIMIT_MS = 60_000;
const RECEIPTS_READ = 1_000;

export interface DemoSystemOptions {
  leaseTtlMs: number;
  /** One line per step. */
  say: (line: string) => void;
  /** An agent ended that nobody had killed through its `DemoPod`. */
  onPodExit: (pod: DemoPod, how: string) => void;
  onHolder: (view: LockView) => void;
  signal: AbortSignal;
}

export interface CommandResult {
  code: number | null;
  stdout: string;
  /** What it said, for a message about a failure. */
  said: string;
}

/**
 * Real servers, two regions with two pods each, and a publisher: what `npm run demo` and `baton dev` run. All of
 * it ends with `stop`, or with this process, however that ends.
 */
export class DemoSystem {
  readonly pods: DemoPod[];
  readonly configFile: string;
  readonly ledgerFolder: string;
  readonly observer: Observer;
  private readonly etcd: EtcdClient;
  private readonly store: EtcdLock;
  private opened: Publisher | undefined;
  private client: BatonClient | undefined;
  private dashboard: RunningDashboard | undefined;
  /** For the dashboard's actions. */
  private readonly token = randomBytes(12).toString('hex');

  private constructor(
    readonly stack: DevStack,
    private readonly options: DemoSystemOptions,
  ) {
    const logFolder = join(stack.folder, 'logs');
    this.ledgerFolder = join(stack.folder, 'ledger');
    for (const folder of [logFolder, this.ledgerFolder]) mkdirSync(folder, { recursive: true });
    this.configFile = join(stack.folder, 'baton.yaml');
    // JSON is YAML too.
    writeFileSync(this.configFile, `${JSON.stringify(this.config(), null, 2)}\n`);
    this.etcd = new EtcdClient({ endpoints: this.etcdEndpoints });
    this.store = new EtcdLock(this.etcd, lock, { report: options.say });
    this.observer = new Observer(() => this.store.read(), this.ledgerFolder, options.onHolder);
    const surroundings = {
      program: cliProgram,
      configFile: this.configFile,
      logFolder,
      environment: this.environment,
      adopt: (pid: number) => stack.adopt(pid, { group: true }),
      onUnexpectedExit: options.onPodExit,
    };
    this.pods = regions.flatMap((region) =>
      POD_LETTERS.map((letter) => new DemoPod({ region, name: `${region}-${letter}` }, surroundings)),
    );
  }

  /**
   * Returns when the first region is active, all pods of all regions are ready, and a publisher is connected.
   * @throws Error saying what did not come up, with the end of its log; everything is stopped then.
   */
  static async start(options: DemoSystemOptions): Promise<DemoSystem> {
    options.say('starting etcd, RabbitMQ and Temporal');
    const stack = await startDevStack({ onProgress: options.say });
    stack.lowerTemporalPriority();
    let system: DemoSystem | undefined;
    try {
      options.signal.throwIfAborted();
      system = new DemoSystem(stack, options);
      await system.bringUp();
      return system;
    } catch (error) {
      await (system ?? stack).stop();
      throw error;
    }
  }

  get etcdEndpoints(): string[] {
    return this.stack.etcdAddresses.map((address) => `http://${address}`);
  }

  get workflowIds(): string[] {
    return regions.map((region) => regionWorkflowId(lock, region));
  }

  get publisher(): Publisher {
    if (!this.opened) throw new Error('the publisher is not connected yet');
    return this.opened;
  }

  /** Newest first. */
  receipts(): Promise<Receipt[]> {
    return this.store.listReceipts(RECEIPTS_READ);
  }

  podOf(podId: string): DemoPod {
    const pod = this.pods.find((each) => each.owns(podId));
    if (!pod) throw new Error(`${podId} is not a pod of the demo`);
    return pod;
  }

  isReady(pod: DemoPod): boolean {
    const candidates = this.observer.view?.candidates ?? [];
    return candidates.some(({ pod: id, state, standing }) => pod.owns(id) && state === 'ready' && standing);
  }

  /** Runs the command line with the demo's configuration. Ends with the demo. */
  async baton(...args: string[]): Promise<CommandResult> {
    const child = spawn(process.execPath, [cliProgram, ...args, '--config', this.configFile], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: this.environment,
      timeout: COMMAND_LIMIT_MS,
      killSignal: 'SIGKILL',
      signal: this.options.signal,
    });
    if (child.pid) setPriority(child.pid, elsewherePriority);
    let [stdout, said] = ['', ''];
    child.stdout.on('data', (chunk: Buffer) => ((stdout += String(chunk)), (said += String(chunk))));
    child.stderr.on('data', (chunk: Buffer) => (said += String(chunk)));
    const code = await new Promise<number | null>((done, fail) => {
      child.on('error', fail);
      child.on('close', done);
    });
    return { code, stdout, said: said.trim() };
  }

  /** Ends everything. Idempotent. */
  async stop(): Promise<void> {
    this.observer.stop();
    await this.dashboard?.close();
    for (const pod of this.pods) pod.kill();
    await this.client?.close();
    await this.opened?.close();
    this.etcd.close();
    await this.stack.stop();
  }

  /** Addresses, and commands that can be pasted. */
  describe(): string {
    const [, west] = regions;
    const root = resolve(cliProgram, '../../../..');
    return [
      `dashboard    ${this.dashboard?.url}  (token to act: ${this.token})`,
      `Temporal UI  ${this.stack.temporalUiUrl ?? this.stack.temporalAddress}`,
      `workflows    ${this.workflowIds.join('  ')}`,
      `etcd         ${this.etcdEndpoints.join(',')}`,
      `RabbitMQ     ${this.stack.rabbitmqUrl}  (queue ${lock})`,
      `pods         ${this.pods.map(({ name, pid }) => `${name} (pid ${pid})`).join('  ')}`,
      `logs         ${join(this.stack.folder, 'logs')}`,
      '',
      'try, in another terminal:',
      `  cd ${root} && export BATON_CONFIG=${this.configFile}`,
      '  npx baton status',
      `  npx baton switch --to ${west} --reason "because I can"`,
      `  ETCDCTL_API=3 etcdctl --endpoints ${this.etcdEndpoints.join(',')} get --prefix /baton/${lock}/`,
    ].join('\n');
  }

  private async bringUp(): Promise<void> {
    const { say, signal } = this.options;
    const [first, ...others] = regions;
    say('starting the region workflows and the pods of the first region');
    this.observer.start();
    await this.openDashboard();
    for (const pod of this.podsIn(first)) pod.start();
    await Promise.all(regions.map((region) => this.startRegion(region)));
    const holder = await this.explain(() =>
      this.observer.until(
        'a pod became active',
        FIRST_HOLDER_LIMIT_MS,
        signal,
        () => this.observer.view?.holder,
      ),
    );
    say(`${holder.pod} is active; starting the pods of the other region`);
    // Only now, so that the demo begins where its story does.
    for (const region of others) for (const pod of this.podsIn(region)) pod.start();
    this.opened = await Publisher.connect(this.stack.rabbitmqUrl, lock, say);
    await this.explain(() =>
      this.observer.until('all other pods were ready to take over', ALL_READY_LIMIT_MS, signal, () =>
        this.pods.every((pod) => pod.owns(this.observer.view?.holder?.pod ?? '') || this.isReady(pod)),
      ),
    );
  }

  private async openDashboard(): Promise<void> {
    const { say } = this.options;
    this.client = BatonClient.open({ config: this.configFile, env: this.environment, onProblem: say });
    const { temporalUiUrl } = this.stack;
    this.dashboard = await startDashboard({
      client: this.client,
      host: '127.0.0.1',
      port: 0,
      tokens: [{ who: 'demo', token: this.token }],
      ...(temporalUiUrl !== undefined && { temporalUiUrl }),
    });
    say(`dashboard: ${this.dashboard.url} (token to act: ${this.token})`);
  }

  private async startRegion(region: string): Promise<void> {
    const { code, said } = await this.baton('start', '--region', region);
    if (code !== 0) throw new Error(`baton start --region ${region} ended with exit code ${code}:\n${said}`);
  }

  /** Adds to what failed what the pods said last. */
  async explain<T>(wait: () => Promise<T>): Promise<T> {
    try {
      return await wait();
    } catch (error) {
      if (this.options.signal.aborted) throw error;
      const tails = this.pods
        .filter((pod) => pod.pid !== undefined)
        .map((pod) => `--- ${pod.name}\n${pod.logTail()}`);
      throw new Error(`${(error as Error).message}; the ends of the pods' logs:\n${tails.join('\n')}`, {
        cause: error,
      });
    }
  }

  private podsIn(region: string): DemoPod[] {
    return this.pods.filter(({ place }) => place.region === region);
  }

  private config(): object {
    const { rabbitmqUrl, temporalAddress } = this.stack;
    return {
      regions: Object.fromEntries(regions.map((region) => [region, { amqpUrl: rabbitmqUrl }])),
      etcd: { endpoints: this.etcdEndpoints },
      temporal: { address: temporalAddress, namespace: 'default' },
      health: { host: '127.0.0.1', port: 0 },
      // The extensions, from which recovery is measured, are logged at this level.
      logLevel: 'debug',
      locks: {
        [lock]: {
          leaseTtlMs: this.options.leaseTtlMs,
          drainLimitMs: 10_000,
          // For `baton dev`, which starts what was killed again.
          drill: { objectiveMs: 1_000, crashObjectiveMs: 10_000, allowCrash: true },
          // A prefetch of as many: so a kill can repeat at most those.
          queue: { name: lock, concurrency, prefetch: concurrency },
          handler: join(__dirname, 'handler.js'),
        },
      },
    };
  }

  /** Without the caller's own settings, which are for another system. */
  private get environment(): NodeJS.ProcessEnv {
    const own = Object.entries(process.env).filter(([name]) => !/^(BATON|TEMPORAL)_/.test(name));
    return { ...Object.fromEntries(own), ...this.stack.environment, BATON_DEMO_LEDGER: this.ledgerFolder };
  }
}

const cliProgram = resolve(__dirname, '../cli/main.js');
