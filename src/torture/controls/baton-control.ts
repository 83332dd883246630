import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect, type ChannelModel, type ConfirmChannel } from 'amqplib';
import { BatonPod } from '../../bench/baton-pod';
import { loadConfig } from '../../config/load-config';
import type { DevStack } from '../../dev/dev-stack';
import { connectClient } from '../../temporal/connection';
import type { RegionClient } from '../../temporal/region-client';
import { ControlRun, nowText } from './control-run';
import { environmentOf, type ControlMessage } from './control-handler';
import { buildMutated, dist, type Mutation } from './mutated-build';
import { TokenStore } from './token-store';

/** - `pod frozen`: the holder's whole pod, past the TTL, with messages waiting in it and a write on its way to the store.
 * - `agent frozen`: its agent alone, while a handler is busy for several TTLs.
 * - `holder deleted`: its agent frozen for one TTL, and its holder key deleted from outside while nobody else may acquire. */
export type Scenario = 'pod frozen' | 'agent frozen' | 'holder deleted';

export interface BatonControlOptions {
  scenario: Scenario;
  mutations: readonly Mutation[];
  /** Of the store. */
  checksToken: boolean;
  rounds: number;
  ttlMs: number;
}

const concurrency = 8;
const prefetch = 100;
const ratePerSecond = 100;
/** Two seconds of work: the victim is to be frozen with messages waiting in it. */
const burst = 1_000;
const thawedMs = 2_000;
const agentLaterMs = 300;
const limitMs = 90_000;

let systems = 0;

/** Runs Baton, perhaps a mutated copy, through a scenario in `folder`, and leaves a run folder for the checker there. */
export async function runBatonControl(
  stack: DevStack,
  folder: string,
  options: BatonControlOptions,
): Promise<void> {
  const control = new BatonControl(stack, folder, options);
  try {
    await control.start();
    for (let round = 0; round < options.rounds; round++) await control.round();
    await control.settle();
  } finally {
    await control.stop();
  }
}

class BatonControl {
  private readonly lock = `control-${process.pid}-${++systems}`;
  private readonly run: ControlRun;
  private readonly store: TokenStore;
  private readonly regions = ['east', 'west'].map((side) => `${this.lock}-${side}`);
  private pods: BatonPod[] = [];
  private workflows: RegionClient | undefined;
  private model: ChannelModel | undefined;
  private channel: ConfirmChannel | undefined;
  private load: NodeJS.Timeout | undefined;
  private readonly candidates = new Map<string, boolean>();
  private holder: { pod: string; revision: number } | null = null;
  private sent = 0;
  private readonly confirmed = new Set<string>();

  constructor(
    private readonly stack: DevStack,
    private readonly folder: string,
    private readonly options: BatonControlOptions,
  ) {
    mkdirSync(folder, { recursive: true });
    this.run = new ControlRun({
      folder,
      lock: this.lock,
      ttlMs: options.ttlMs,
      concurrency,
      etcdAddresses: stack.etcdAddresses,
      etcdPrefix: this.prefix,
      without: [],
    });
    this.store = new TokenStore(options.checksToken, (decision) =>
      this.run.append('effects', { ...decision, at: nowText() }),
    );
  }

  private get prefix(): string {
    return `/baton/${this.lock}/`;
  }

  async start(): Promise<void> {
    const storeUrl = await this.store.start();
    await this.run.start(({ key, value, revision, type, lease, at }) => {
      const seen = { revision, type, lease, at };
      const json = seen.type === 'put' ? parse(value) : null;
      this.run.append('etcd', { lock: this.lock, key, value: json, ...seen });
      if (key === `${this.prefix}holder`)
        this.holder = json === null ? null : { pod: String(json['pod']), revision: seen.revision };
      const candidate = /candidates\/[^/]+\/(.+)$/.exec(key)?.[1];
      if (candidate !== undefined)
        this.candidates.set(candidate, json?.['state'] === 'ready' && json['standing'] === true);
    });
    const configFile = join(this.folder, 'baton.yaml');
    writeFileSync(configFile, JSON.stringify(this.config()));
    const { mutations } = this.options;
    const program =
      mutations.length > 0 ? buildMutated(this.folder, mutations) : join(dist, 'src', 'cli', 'main.js');
    const own = Object.entries(process.env).filter(([name]) => !/^(BATON|TEMPORAL)_/.test(name));
    this.pods = this.regions.map(
      (region) =>
        new BatonPod(region, `${region}-pod`, {
          program,
          configFile,
          logFolder: join(this.folder, 'logs'),
          environment: {
            ...Object.fromEntries(own),
            ...this.stack.environment,
            ...environmentOf(this.run.ledgerFolder, storeUrl),
          },
          adopt: (pid) => this.stack.adopt(pid, { group: true }),
          onUnexpectedExit: () => undefined,
        }),
    );
    for (const pod of this.pods) pod.start();
    const config = loadConfig({ file: configFile, env: {}, checkHandlers: false, cwd: this.folder });
    this.workflows = await connectClient(config);
    for (const region of this.regions) await this.workflows.start(this.lock, region);
    await this.untilReady();
    this.model = await connect(this.stack.rabbitmqUrl);
    this.channel = await this.model.createConfirmChannel();
    let due = 0;
    this.load = setInterval(() => {
      for (due += ratePerSecond / 50; due >= 1; due--) this.publish({ work: 'short' });
    }, 20);
    await this.until('messages flow', () => this.finished().size > 20);
  }

  /** One fault, from a system with a holder and one who is ready to one with a holder again. */
  async round(): Promise<void> {
    await this.untilReady();
    const holder = this.holder!;
    const victim = this.pods.find((pod) => pod.owns(holder.pod))!;
    for (const pod of this.pods) this.run.watchProcesses(pod.name, pod.pids);
    if (this.options.scenario === 'pod frozen') await this.freezePod(victim, holder.revision);
    else if (this.options.scenario === 'agent frozen') await this.freezeAgent(victim, holder.revision);
    else await this.deleteHolder(victim, holder.revision);
    await sleep(thawedMs);
  }

  private async freezePod(victim: BatonPod, token: number): Promise<void> {
    this.store.hold();
    this.publish({ work: 'store' });
    await this.until('a write is on its way to the store', () => this.store.heldCount > 0);
    this.store.holdNoMore();
    const { pids } = victim;
    const waiting = Array.from({ length: burst }, () => this.publish({ work: 'short' }));
    const early = `"start","id":"${waiting[burst / 20]}"`;
    await this.until('the burst is being worked on', () => this.ledger().includes(early));
    // The agent first: it must not see its listener stand still.
    for (const pid of pids) process.kill(pid, 'SIGSTOP');
    const ended = this.run.fault('pod-freeze-long', victim.name, pids);
    const thawAt = performance.now() + this.options.ttlMs + 500;
    await this.untilSucceeded(token);
    this.publish({ work: 'store' });
    await this.until('the new holder has written', () => this.storeHasTakenAfter(token));
    await sleep(Math.max(500, thawAt - performance.now()));
    // The write arrives now, whoever is alive.
    this.store.deliver();
    // The listener alone for a moment: nothing but its own care may stop it.
    const [agent, ...listeners] = pids;
    for (const pid of listeners) signal(pid, 'SIGCONT');
    await sleep(agentLaterMs);
    if (agent !== undefined) signal(agent, 'SIGCONT');
    ended();
  }

  private async freezeAgent(victim: BatonPod, token: number): Promise<void> {
    const { ttlMs } = this.options;
    const id = this.publish({ work: 'long', longMs: 3 * ttlMs });
    await this.until('the long message has started', () => this.ledger().includes(`"start","id":"${id}"`));
    const agent = victim.agentPid!;
    const ended = this.run.fault('agent-freeze-long', victim.name, [agent]);
    process.kill(agent, 'SIGSTOP');
    await this.untilSucceeded(token);
    await sleep(ttlMs / 2);
    signal(agent, 'SIGCONT');
    ended();
  }

  /** `blocked` is what a forced release puts there, too. */
  private async deleteHolder(victim: BatonPod, token: number): Promise<void> {
    const agent = victim.agentPid!;
    process.kill(agent, 'SIGSTOP');
    const ended = this.run.fault('agent-freeze-long', victim.name, [agent]);
    await this.run.put(`${this.prefix}blocked`, JSON.stringify({ why: 'a control' }));
    await this.run.remove(`${this.prefix}holder`);
    await sleep(this.options.ttlMs);
    signal(agent, 'SIGCONT');
    ended();
    await this.run.remove(`${this.prefix}blocked`);
    await this.untilSucceeded(token);
  }

  /** Stops publishing, waits for what was published, and writes down how etcd and the broker stand. */
  async settle(): Promise<void> {
    clearInterval(this.load);
    await this.channel!.waitForConfirms();
    await this.until('everything was worked on', () => {
      const finished = this.finished();
      return [...this.confirmed].every((id) => finished.has(id));
    }).catch(() => undefined); // What is missing then is for the checker to tell.
    for (const { key, createRevision, value } of await this.run.keys(`${this.prefix}receipts/`))
      this.run.append('receipts', { lock: this.lock, key, createRevision, value: parse(value) });
    // Acknowledgements are on their way.
    await sleep(500);
    const queue = await this.channel!.checkQueue(this.lock);
    const dead = await this.channel!.checkQueue(`${this.lock}.dead`);
    const counts = { ready: queue.messageCount, unacked: 0, deadLettered: dead.messageCount };
    const queues = [{ lock: this.lock, queue: this.lock, ...counts }];
    writeFileSync(join(this.folder, 'broker.json'), JSON.stringify({ queues }));
  }

  /** Idempotent. */
  async stop(): Promise<void> {
    clearInterval(this.load);
    await this.run.close();
    await Promise.all(this.pods.map((pod) => pod.kill()));
    this.store.close();
    await this.workflows?.close();
    await this.model?.close().catch(() => undefined); // The broker has closed it.
  }

  private publish(message: Omit<ControlMessage, 'id'>): string {
    const id = `m${++this.sent}`;
    const sentAt = nowText();
    const body = Buffer.from(JSON.stringify({ id, ...message }));
    this.channel!.sendToQueue(this.lock, body, { persistent: true, messageId: id }, (error: unknown) => {
      if (error) return;
      this.confirmed.add(id);
      this.run.append('published', { lock: this.lock, id, sentAt, confirmedAt: nowText() });
    });
    return id;
  }

  private untilReady(): Promise<void> {
    return this.until(
      'one pod holds and the other one is ready',
      () =>
        this.holder !== null &&
        this.pods.every(
          (pod) =>
            pod.owns(this.holder!.pod) ||
            [...this.candidates].some(([name, ready]) => ready && pod.owns(name)),
        ),
    );
  }

  private untilSucceeded(token: number): Promise<void> {
    return this.until('the other pod works', () => {
      const next = this.holder?.revision ?? 0;
      return next > token && this.ledger().includes(`"token":${next},`);
    });
  }

  private storeHasTakenAfter(token: number): boolean {
    const effects = readFileSync(join(this.folder, 'effects.jsonl'), 'utf8').split('\n').filter(Boolean);
    return effects.some((line) => (JSON.parse(line) as { token: number }).token > token);
  }

  private ledger(): string {
    return readdirSync(this.run.ledgerFolder)
      .map((name) => readFileSync(join(this.run.ledgerFolder, name), 'utf8'))
      .join('');
  }

  private finished(): Set<string> {
    const ends = this.ledger().matchAll(/"event":"end","id":"(\w+)","outcome":"ok"/g);
    return new Set([...ends].map((found) => found[1]!));
  }

  private async until(what: string, check: () => boolean): Promise<void> {
    const giveUpAt = performance.now() + limitMs;
    while (!check()) {
      if (performance.now() > giveUpAt) {
        const tails = this.pods.map(
          (pod) => `--- ${pod.name}\n${pod.isStarted ? pod.logTail() : 'not running'}`,
        );
        throw new Error(`waited ${limitMs / 1000} s in vain until ${what}\n${tails.join('\n')}`);
      }
      await sleep(20);
    }
  }

  private config(): object {
    const { rabbitmqUrl: amqpUrl, etcdAddresses, temporalAddress } = this.stack;
    return {
      regions: Object.fromEntries(this.regions.map((region) => [region, { amqpUrl }])),
      etcd: { endpoints: etcdAddresses.map((address) => `http://${address}`) },
      temporal: { address: temporalAddress, namespace: 'default' },
      health: { host: '127.0.0.1', port: 0 },
      logLevel: 'info',
      locks: {
        [this.lock]: {
          leaseTtlMs: this.options.ttlMs,
          drainLimitMs: 10_000,
          queue: { name: this.lock, concurrency, prefetch },
          handler: join(dist, 'src', 'torture', 'controls', 'control-handler.js'),
        },
      },
    };
  }
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch {
    // It has ended meanwhile.
  }
}

function parse(value: Buffer): Record<string, unknown> | null {
  try {
    return JSON.parse(value.toString()) as Record<string, unknown>;
  } catch {
    // Somebody else's word in Baton's place; the checker is shown that it was no object.
    return null;
  }
}
