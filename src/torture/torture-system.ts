import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { compiledProgram } from '../compiled-program';
import { DemoPod } from '../demo/demo-pods';
import { EtcdObserver } from './etcd-observer';
import type { PodRole } from './fault-catalogue';
import { LedgerTail } from './ledger-tail';
import { findFaketime, PodClock } from './pod-clock';
import { PodNetwork } from './pod-network';
import { ProcessWatch } from './process-watch';
import { now, type RunRecorder, type SwitchRecord } from './run-recorder';
import { TortureLoad } from './torture-load';
import type { PodLinks, TortureServers } from './torture-servers';
import { prepareStore } from './torture-store';

export const lock = 'tortured';
export const regions = ['us-east', 'us-west'] as const;
export const podNames = regions.flatMap((region) => [`${region}-a`, `${region}-b`]);
export const timing = {
  ttlMs: 5_000,
  drainLimitMs: 6_000,
  stallLimitMs: 3_000,
  concurrency: 8,
};

const restartAfterMs = 1_000;
const switchLimitSeconds = 30;
const startLimitMs = 90_000;
const pollMs = 100;
/** Heap of each process of a pod. */
const heapMiB = 384;

/** Baton under torture: two regions of two pods, each with its own way to every server. */
export class TortureSystem {
  readonly pods: DemoPod[];
  readonly watch: ProcessWatch;
  readonly observer: EtcdObserver;
  readonly ledger: LedgerTail;
  /** By pod; empty where libfaketime is not installed. */
  readonly clocks: ReadonlyMap<string, PodClock>;
  /** The command line that pods start with. */
  private running = program;
  /** Agents that ended though nobody here had killed them, with how. */
  readonly unexpectedExits: string[] = [];
  private connected: TortureLoad | undefined;
  /** Kept down by a fault, which starts them again itself. */
  private readonly heldDown = new Set<string>();
  private stopped = false;

  private constructor(
    readonly servers: TortureServers,
    readonly recorder: RunRecorder,
    readonly links: ReadonlyMap<string, PodLinks>,
    /** By pod; empty where the pods share the machine's network. */
    readonly networks: ReadonlyMap<string, PodNetwork>,
    withClocks: boolean,
    /** The previous release's command line, where a fault needs it. */
    private readonly previousProgram: string | null,
  ) {
    const faketime = withClocks ? findFaketime() : null;
    const clockOf = (name: string): [string, PodClock][] =>
      faketime === null ? [] : [[name, new PodClock(faketime, join(servers.folder, `${name}.clock`))]];
    this.clocks = new Map(podNames.flatMap(clockOf));
    this.watch = new ProcessWatch(recorder);
    this.observer = new EtcdObserver(servers.etcd.addresses, lock, recorder);
    this.ledger = new LedgerTail(recorder.ledgerFolder);
    this.pods = podNames.map((name) => this.newPod(name));
  }

  /** `clocks`: the pods' wall clocks can be set, where libfaketime is installed; `networks`: each pod has its own. */
  static async create(
    servers: TortureServers,
    recorder: RunRecorder,
    own: { clocks: boolean; networks: boolean; previousProgram: string | null },
  ): Promise<TortureSystem> {
    const links = new Map<string, PodLinks>();
    const networks = new Map<string, PodNetwork>();
    for (const name of podNames) {
      const network = own.networks ? await PodNetwork.create(servers.reaper) : undefined;
      if (network) networks.set(name, network);
      links.set(name, await servers.linksOf(name, network?.outerAddress));
    }
    const system = new TortureSystem(servers, recorder, links, networks, own.clocks, own.previousProgram);
    system.writeConfig('operator', {
      etcd: servers.etcd.addresses,
      rabbitmq: servers.rabbitmq.address,
      temporal: servers.temporal.address,
    });
    for (const [name, { etcd, rabbitmq, temporal }] of links)
      system.writeConfig(name, {
        etcd: etcd.map(({ address }) => address),
        rabbitmq: rabbitmq[0]!.address,
        temporal: temporal[0]!.address,
      });
    return system;
  }

  get load(): TortureLoad {
    if (!this.connected) throw new Error('the load is connected when the first pod holds the lock');
    return this.connected;
  }

  /** Starts everything; returns when a pod holds the lock and the publisher is connected. */
  async bringUp(signal: AbortSignal): Promise<void> {
    await this.observer.start();
    await prepareStore(this.servers.store.url);
    this.watch.start();
    for (const pod of this.pods) this.startPod(pod);
    await this.startRegions();
    await this.until('a pod holds the lock', startLimitMs, signal, () => this.observer.holderPod !== null);
    this.connected = await TortureLoad.connect(this.servers.rabbitmq.url, lock, lock, this.recorder);
    // A quorum queue younger than three seconds would not survive the kill of its broker.
    await sleep(4_000, undefined, { signal });
  }

  /** The region workflows, as an operator starts them. */
  async startRegions(): Promise<void> {
    for (const region of regions) {
      const { code, output } = await this.baton('start', '--region', region);
      if (code !== 0) throw new Error(`baton start --region ${region} exited with ${code}: ${output}`);
    }
  }

  /** The pod in this role now; `busy` ones are hit by another fault and are passed over. */
  podInRole(role: PodRole, busy: ReadonlySet<string>): DemoPod {
    const holder = this.pods.find((pod) => pod.owns(this.observer.holderPod ?? '')) ?? this.pods[0]!;
    const near = this.pods.filter((pod) => pod !== holder && pod.place.region === holder.place.region);
    const far = this.pods.filter(({ place }) => place.region !== holder.place.region);
    const inOrder = {
      holder: [holder, ...near, ...far],
      neighbour: [...near, ...far, holder],
      far: [...far, ...near, holder],
    }[role];
    return inOrder.find(({ name }) => !busy.has(name)) ?? inOrder[0]!;
  }

  /** The region that is not active. */
  otherRegion(): string {
    const active = this.pods.find((pod) => pod.owns(this.observer.holderPod ?? ''))?.place.region;
    return regions.find((region) => region !== active)!;
  }

  /** The listener that works on messages, or another one if there is none. */
  listenerOf(pod: DemoPod): number | undefined {
    const { listeners } = this.watch.processesOf(pod);
    const working = readdirSync(this.recorder.ledgerFolder).map((name) =>
      Number(/-(\d+)\.jsonl$/.exec(name)?.[1]),
    );
    return listeners.toReversed().find((pid) => working.includes(pid)) ?? listeners[0];
  }

  /** What is started from now on is the other release's. */
  takeOtherRelease(): 'present' | 'previous' {
    if (this.previousProgram === null) throw new Error('the previous release is not at hand');
    const isPresent = this.running === program;
    this.running = isPresent ? this.previousProgram : program;
    return isPresent ? 'previous' : 'present';
  }

  /** While held down, an agent that ends is not started again. */
  holdDown(pod: DemoPod): void {
    this.heldDown.add(pod.name);
  }

  letUp(pod: DemoPod): void {
    this.heldDown.delete(pod.name);
    if (pod.pid === undefined) this.startPod(pod);
  }

  /** Asks for a planned switch and writes down what came of it. Takes at most about 35 s. */
  async switchTo(to: string): Promise<SwitchRecord> {
    const askedAt = now();
    const limit = String(switchLimitSeconds);
    const args = ['--to', to, '--reason', 'torture', '--by', 'nemesis', '--timeout', limit, '--json'];
    const { code, output } = await this.baton('switch', ...args);
    const record = { lock, to, askedAt, answeredAt: now(), ...this.switchAnswer(code, output) };
    this.recorder.switch(record);
    return record;
  }

  async until(what: string, limitMs: number, signal: AbortSignal, check: () => boolean): Promise<void> {
    if (!(await this.comesTrue(limitMs, signal, check)))
      throw new Error(`not within ${limitMs / 1000} s: ${what}\n${this.logTails()}`);
  }

  async comesTrue(limitMs: number, signal: AbortSignal, check: () => boolean): Promise<boolean> {
    const giveUpAt = performance.now() + limitMs;
    while (!check()) {
      signal.throwIfAborted();
      if (performance.now() > giveUpAt) return false;
      await sleep(pollMs);
    }
    return true;
  }

  logTails(): string {
    return this.pods.map((pod) => `--- ${pod.name}\n${pod.logTail()}`).join('\n');
  }

  /** Runs the command line as an operator whose way to the servers is never disturbed. */
  baton(...args: string[]): Promise<{ code: number | null; output: string }> {
    const child = spawn(process.execPath, [program, ...args, '--config', this.configFile('operator')], {
      env: this.environment,
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    });
    if (child.pid !== undefined) this.servers.reaper.watch(child.pid, { group: true });
    let output = '';
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (chunk: Buffer) => (output += String(chunk)));
    return new Promise((done) => {
      child.on('error', (error) => done({ code: null, output: error.message }));
      child.on('close', (code) => done({ code, output }));
    });
  }

  /** Kills what runs. Idempotent. */
  async stop(): Promise<void> {
    this.stopped = true;
    await this.connected?.close();
    for (const pod of this.pods) {
      const { agent, listeners } = this.watch.processesOf(pod);
      for (const pid of [agent, ...listeners]) if (pid !== undefined) this.watch.kill(pid);
    }
    for (const network of this.networks.values()) network.close();
    this.watch.stop();
    this.ledger.close();
    this.observer.close();
  }

  private newPod(name: string): DemoPod {
    const region = regions.find((each) => name.startsWith(each))!;
    const { store } = this.servers;
    const surroundings = {
      program,
      configFile: this.configFile(name),
      logFolder: this.recorder.logFolder,
      environment: {
        ...this.environment,
        ...this.clocks.get(name)?.environment,
        BATON_TORTURE_STORE: store.urlAt(this.links.get(name)!.store),
      },
      prefix: this.networks.get(name)?.prefix ?? [],
      adopt: (pid: number) => this.servers.reaper.watch(pid, { group: true }),
      onUnexpectedExit: (pod: DemoPod, how: string) => void this.restart(pod, how),
    };
    return new DemoPod({ region, name }, surroundings);
  }

  private startPod(pod: DemoPod): void {
    if (this.stopped) return;
    pod.start(this.running);
    this.watch.add(pod);
  }

  /** As the platform does with a container that has ended. */
  private async restart(pod: DemoPod, how: string): Promise<void> {
    if (this.heldDown.has(pod.name) || this.stopped) return;
    this.unexpectedExits.push(`agent of ${pod.name} ended ${how}`);
    await sleep(restartAfterMs);
    if (pod.pid === undefined && !this.heldDown.has(pod.name)) this.startPod(pod);
  }

  private switchAnswer(
    code: number | null,
    output: string,
  ): Pick<SwitchRecord, 'id' | 'outcome' | 'token' | 'drainComplete' | 'why'> {
    const line = output.split('\n').find((each) => each.startsWith('{"switches"'));
    const unknown = { id: randomUUID(), outcome: 'unknown' as const, token: null, drainComplete: null };
    if (line === undefined) return { ...unknown, why: `exit code ${code}: ${output.trim()}` };
    const [answer] = (JSON.parse(line) as { switches: SwitchAnswer[] }).switches;
    if (!answer) return { ...unknown, why: `exit code ${code}: ${line}` };
    const { switchId: id, why, receipt } = answer;
    const outcome = {
      done: 'done',
      'already-active': 'refused',
      'not-done': 'refused',
      unsettled: 'unknown',
    };
    return {
      id,
      why,
      outcome: outcome[answer.outcome] as SwitchRecord['outcome'],
      token: receipt?.to?.token ?? null,
      drainComplete: receipt?.from ? this.drainWasComplete(receipt.from.pod, receipt.from.token) : null,
    };
  }

  /** From the old holder's log, the only place that says it; `null` when it does not. */
  private drainWasComplete(podId: string, token: number): boolean | null {
    const pod = this.pods.find((each) => each.owns(podId));
    if (!pod || !existsSync(pod.logFile)) return null;
    const line = readFileSync(pod.logFile, 'utf8')
      .split('\n')
      .findLast((each) => each.includes('"msg":"drained"') && each.includes(`"token":${token},`));
    return line === undefined ? null : (JSON.parse(line) as { complete: boolean }).complete;
  }

  private configFile(name: string): string {
    return join(this.servers.folder, `${name}.yaml`);
  }

  private writeConfig(name: string, at: { etcd: string[]; rabbitmq: string; temporal: string }): void {
    const { ttlMs, drainLimitMs, stallLimitMs, concurrency } = timing;
    const amqpUrl = `amqp://guest:guest@${at.rabbitmq}`;
    const config = {
      regions: Object.fromEntries(regions.map((region) => [region, { amqpUrl }])),
      etcd: { endpoints: at.etcd.map((address) => `http://${address}`) },
      temporal: { address: at.temporal, namespace: this.servers.temporal.namespace },
      health: { host: '127.0.0.1', port: 0 },
      logLevel: 'info',
      locks: {
        [lock]: {
          leaseTtlMs: ttlMs,
          drainLimitMs,
          stallLimitMs,
          healthLimitMs: 5_000,
          beatMs: 2_000,
          // The nemesis changes the holder more often than anybody would.
          maxChangesPerHour: 1_000,
          // No more than `concurrency` are at a listener, so that no more can be delivered again with its connection.
          queue: { name: lock, concurrency, prefetch: concurrency },
          handler,
        },
      },
    };
    writeFileSync(this.configFile(name), JSON.stringify(config, null, 2));
  }

  /** Without the caller's own settings, which are for another system. */
  private get environment(): NodeJS.ProcessEnv {
    const own = Object.entries(process.env).filter(([name]) => !/^(BATON|TEMPORAL|NODE)_/.test(name));
    return {
      ...Object.fromEntries(own),
      ...this.servers.reaper.environment,
      BATON_TORTURE_LEDGER: this.recorder.ledgerFolder,
      // A handler that leaks reaches the end of its process, not of the machine.
      NODE_OPTIONS: `--max-old-space-size=${heapMiB}`,
    };
  }
}

interface SwitchAnswer {
  switchId: string;
  outcome: 'done' | 'already-active' | 'not-done' | 'unsettled';
  why: string;
  receipt: { from: { pod: string; token: number } | null; to: { token: number } | null } | null;
}

const program = compiledProgram('cli/main.js');
const handler = compiledProgram('torture/handler.js');
