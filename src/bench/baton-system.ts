import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect } from 'amqplib';
import { loadConfig } from '../config/load-config';
import type { DevStack } from '../dev/dev-stack';
import { EtcdClient } from '../etcd/etcd-client';
import { EtcdLock } from '../etcd/etcd-lock';
import type { LockView, LockWatch } from '../pod/lock-store';
import { connectClient } from '../temporal/connection';
import type { RegionClient } from '../temporal/region-client';
import { BatonPod } from './baton-pod';
import type { ConsumerSystem, SystemPlace } from './contender';
import { blockBody } from './ledger';

const program = resolve(__dirname, '../cli/main.js');
const handler = join(__dirname, 'ledger-handler.js');
const startLimitMs = 60_000;
const pollMs = 10;
/** Longer than any switch takes that is not turned down. */
const askAgainMs = 15_000;
/** Besides the watch, which may miss something while it reconnects. */
const refreshMs = 500;
const refreshDelayMs = 100;

export interface BatonSystemOptions {
  /** Over the bench's own: for what a bench varies. */
  lockSettings?: Record<string, unknown>;
  /** A pod's agent ended that nobody had killed. */
  onUnexpectedExit?: (line: string) => void;
}

/**
 * Baton with two regions and one pod in each. The bench's own process sends the signals and watches etcd, so that no
 * program has to be started in the moment that is measured.
 */
export class BatonSystem implements ConsumerSystem {
  readonly name = 'baton';
  readonly queue: string;
  readonly lock: string;
  readonly ledgerFile: string;
  readonly configFile: string;
  readonly pods: BatonPod[];
  /** Etcd's word of about 100 ms ago. */
  view: LockView | null = null;
  private readonly regions: string[];
  private readonly etcd: EtcdClient;
  private readonly store: EtcdLock;
  private watch: LockWatch | undefined;
  private timer: NodeJS.Timeout | undefined;
  private refreshTimer: NodeJS.Timeout | undefined;
  private workflows: RegionClient | undefined;
  private blocked: BatonPod | null = null;
  /** Ids of earlier boots: their keys live on in etcd until their leases run out. */
  private readonly ended = new Set<string>();
  private stopped = false;

  constructor(
    private readonly place: SystemPlace,
    private readonly stack: DevStack,
    private readonly options: BatonSystemOptions = {},
  ) {
    this.lock = place.id;
    this.queue = place.id;
    this.ledgerFile = join(place.folder, 'ledger');
    this.configFile = join(place.folder, 'baton.yaml');
    const logFolder = join(place.folder, 'logs');
    mkdirSync(logFolder, { recursive: true });
    // Regions of their own: pods serve all workflows of their region, also those of another system.
    this.regions = ['east', 'west'].map((side) => `${place.id}-${side}`);
    writeFileSync(this.configFile, `${JSON.stringify(this.config(), null, 2)}\n`);
    this.etcd = new EtcdClient({ endpoints: endpointsOf(stack.etcdAddresses) });
    this.store = new EtcdLock(this.etcd, this.lock, { report: () => undefined });
    this.pods = this.regions.map((region) => {
      const name = `${region}-pod`;
      return new BatonPod(region, name, {
        program,
        configFile: this.configFile,
        logFolder,
        environment: this.environment(name),
        adopt: (pid) => stack.adopt(pid, { group: true }),
        onUnexpectedExit: (dead, how) => {
          options.onUnexpectedExit?.(`pod ${dead.name} ended ${how}; the end of its log:\n${dead.logTail()}`);
          this.supervise(dead.name);
        },
      });
    });
  }

  async start(): Promise<void> {
    this.watch = this.store.watch(() => this.refreshSoon());
    this.timer = setInterval(() => void this.refresh(), refreshMs);
    for (const pod of this.pods) pod.start();
    const config = loadConfig({
      file: this.configFile,
      env: {},
      checkHandlers: false,
      cwd: this.place.folder,
    });
    this.workflows = await connectClient(config);
    for (const region of this.regions) await this.workflows.start(this.lock, region);
    await this.untilReady();
  }

  active(): BatonPod | null {
    const holder = this.view?.holder;
    if (!holder || this.ended.has(holder.pod)) return null;
    return this.pods.find((pod) => pod.isStarted && pod.owns(holder.pod)) ?? null;
  }

  /** As `baton switch` does it: the signal to the active region's workflow. */
  async giveWay(): Promise<void> {
    const holder = this.view?.holder;
    const to = this.regions.find((region) => region !== holder?.region);
    if (!holder || to === undefined || !this.workflows) throw new Error(`nobody holds ${this.lock}`);
    const request = { to, reason: 'bench', by: 'bench' };
    const delivery = await this.workflows.gracefulSwitch(this.lock, holder.region, request);
    if (delivery !== 'delivered') throw new Error(`the workflow of ${holder.region} does not run`);
  }

  async block(): Promise<void> {
    this.blocked = this.active();
    const model = await connect(this.stack.rabbitmqUrl);
    const channel = await model.createConfirmChannel();
    channel.sendToQueue(this.queue, Buffer.from(blockBody), { persistent: true });
    await channel.waitForConfirms();
    await model.close();
  }

  /** Also a pod that was blocked is started anew: a second loss of its listener within a minute would be another fault. */
  async heal(): Promise<void> {
    for (const pod of this.pods) pod.thaw();
    const worn = this.blocked;
    this.blocked = null;
    if (worn) await this.renew(worn);
    for (const pod of this.pods) if (!pod.isStarted) await this.restart(pod);
    await this.untilReady();
  }

  /** Replaces the processes of a pod, or of all, one after the other, without waiting for a lease to run out. */
  async renew(only?: BatonPod): Promise<void> {
    for (const pod of only ? [only] : this.pods) {
      if (!pod.isStarted) continue;
      if (this.active() === pod) {
        await this.untilReady();
        await this.leave(pod);
      }
      await pod.kill();
      await this.restart(pod);
      await this.untilReady();
    }
  }

  /** As an operator would: a switch that was turned down, as in the moment of a change, is asked for again. */
  private async leave(pod: BatonPod): Promise<void> {
    let askAgainAt = 0;
    await this.until('the other pod is active', () => {
      if (this.active() !== null && this.active() !== pod) return true;
      if (this.active() === pod && Date.now() >= askAgainAt) {
        askAgainAt = Date.now() + askAgainMs;
        void this.giveWay().catch(() => undefined);
      }
      return false;
    });
  }

  async stop(): Promise<void> {
    if (this.stopped) return;
    this.stopped = true;
    clearInterval(this.timer);
    clearTimeout(this.refreshTimer);
    this.watch?.close();
    await Promise.all(this.pods.map((pod) => pod.kill()));
    await this.workflows?.close();
    this.etcd.close();
  }

  /** One is active, and the other one ready to take over. */
  untilReady(): Promise<void> {
    return this.until('one pod is active and the other one ready', () => {
      const active = this.active();
      if (!active || !this.view) return false;
      const { candidates } = this.view;
      return this.pods.every(
        (pod) =>
          pod === active ||
          candidates.some(
            (each) =>
              pod.owns(each.pod) && !this.ended.has(each.pod) && each.state === 'ready' && each.standing,
          ),
      );
    });
  }

  /** As every supervisor of pods does. */
  private supervise(name: string): void {
    const pod = this.pods.find((each) => each.name === name);
    if (pod && !this.stopped) void this.restart(pod);
  }

  private async restart(pod: BatonPod): Promise<void> {
    await this.refresh();
    if (pod.isStarted) return;
    for (const { pod: id } of [
      ...(this.view?.candidates ?? []),
      ...(this.view?.holder ? [this.view.holder] : []),
    ])
      if (pod.owns(id)) this.ended.add(id);
    pod.start();
  }

  private async until(what: string, check: () => boolean): Promise<void> {
    const giveUpAt = Date.now() + startLimitMs;
    while (!check()) {
      if (this.stopped) throw new Error(`${this.lock} was stopped`);
      if (Date.now() > giveUpAt) {
        const tails = this.pods
          .filter((pod) => pod.isStarted)
          .map((pod) => `--- ${pod.name}\n${pod.logTail()}`);
        const told = await this.workflowsTell();
        const kept = await this.keepHistories();
        throw new Error(
          `waited ${startLimitMs / 1000} s in vain until ${what}\n${[kept, ...told, ...tails].join('\n')}`,
        );
      }
      await sleep(pollMs);
    }
  }

  /** For `baton replay`: the server that has them ends with the bench. */
  private async keepHistories(): Promise<string> {
    const folder = mkdtempSync(join(tmpdir(), 'baton-histories-'));
    const saved = await this.workflows
      ?.exportHistories(folder, (workflowId) => workflowId.includes(this.lock))
      .catch(String);
    return Array.isArray(saved)
      ? `${saved.length} histories stay in ${folder}`
      : `no histories: ${saved ?? 'never connected'}`;
  }

  private workflowsTell(): Promise<string[]> {
    return Promise.all(
      this.regions.map(async (region) => {
        const status = await this.workflows?.status(this.lock, region).catch(String);
        return `--- workflow of ${region}\n${JSON.stringify(status)}`;
      }),
    );
  }

  /** One read for all changes of a hand-over, after it: the peers' systems read nothing while they are measured. */
  private refreshSoon(): void {
    this.refreshTimer ??= setTimeout(() => {
      this.refreshTimer = undefined;
      void this.refresh();
    }, refreshDelayMs);
  }

  private async refresh(): Promise<void> {
    try {
      const view = await this.store.read();
      if (!this.view || view.revision >= this.view.revision) this.view = view;
    } catch {
      // etcd did not answer, or is closed: asked again soon.
    }
  }

  private config(): object {
    const { amqpUrl, etcdAddresses, ttlMs, prefetch } = this.place;
    return {
      regions: Object.fromEntries(this.regions.map((region) => [region, { amqpUrl }])),
      etcd: { endpoints: endpointsOf(etcdAddresses) },
      temporal: { address: this.stack.temporalAddress, namespace: 'default' },
      health: { host: '127.0.0.1', port: 0 },
      logLevel: 'info',
      locks: {
        [this.lock]: {
          leaseTtlMs: ttlMs,
          // Each round of crashes is a change of region.
          maxChangesPerHour: 1_000,
          drainLimitMs: 10_000,
          // A listener that stands still is noticed as fast as a lost extension.
          stallLimitMs: Math.round(ttlMs / 3),
          // One message after the other, as all contenders.
          queue: { name: this.queue, prefetch, concurrency: 1 },
          handler,
          ...this.options.lockSettings,
        },
      },
    };
  }

  /** Without the caller's own settings, which are for another system. */
  private environment(pod: string): NodeJS.ProcessEnv {
    const own = Object.entries(process.env).filter(([name]) => !/^(BATON|TEMPORAL)_/.test(name));
    return {
      ...Object.fromEntries(own),
      ...this.stack.environment,
      BATON_BENCH_LEDGER: this.ledgerFile,
      BATON_BENCH_POD: pod,
    };
  }
}

const endpointsOf = (addresses: string[]): string[] => addresses.map((address) => `http://${address}`);
