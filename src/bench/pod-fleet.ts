import { spawn } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Receipt } from '../../workflows/contract';
import { DemoPod } from '../demo/demo-pods';
import type { DevStack } from '../dev/dev-stack';
import { isRunning } from '../dev/process-state';
import { EtcdClient } from '../etcd/etcd-client';
import { EtcdLock } from '../etcd/etcd-lock';
import { decodeValue } from '../etcd/lock-keys';

/** Also when this file runs uncompiled, as in tests: processes come from dist/. */
const root = resolve(__dirname, __dirname.endsWith(join('dist', 'src', 'bench')) ? '../../..' : '../..');
export const builtFile = (name: string): string => join(root, 'dist', 'src', name);

export const regions = ['us-east', 'us-west'] as const;
const surveyMs = 250;
/** As many as etcd keeps of one lock. */
const allReceipts = 1_000;
/** Of a warning, what tells it from others. */
const reasonLength = 90;

export interface PodFleetOptions {
  /** Begins the names of its locks and queues. */
  id: string;
  locks: number;
  /** etcd and Temporal. */
  stack: DevStack;
  rabbitmqUrl: string;
  folder: string;
  /** A path below src/ without its ending: `bench/cost-handler`. */
  handler: string;
  lockSettings?: Record<string, unknown>;
  queueSettings?: Record<string, unknown>;
  /** On top of this process's own, for the pods. */
  environment?: Record<string, string>;
  signal: AbortSignal;
}

/** How far the locks are: held ones, by region; each one's holder; those that a pod is ready and standing for, by its id. */
export interface Survey {
  held: Map<string, number>;
  /** The pod's id, by lock. */
  holders: Map<string, string>;
  ready: Map<string, number>;
}

/** Pods of two regions that share `locks` locks, as real processes from dist/. */
export class PodFleet {
  readonly locks: string[];
  readonly pods: DemoPod[] = [];
  readonly configFile: string;
  protected readonly etcd: EtcdClient;
  private readonly logFolder: string;

  constructor(protected readonly options: PodFleetOptions) {
    const { id, locks, stack, folder } = options;
    this.locks = Array.from({ length: locks }, (_, index) => `${id}-${index + 1}`);
    const own = join(folder, id);
    this.logFolder = join(own, 'logs');
    mkdirSync(this.logFolder, { recursive: true });
    this.configFile = join(own, 'baton.yaml');
    // JSON is YAML too.
    writeFileSync(this.configFile, JSON.stringify(this.config(), null, 2));
    const endpoints = stack.etcdAddresses.map((address) => `http://${address}`);
    this.etcd = new EtcdClient({ endpoints }, { requestTimeoutMs: 5_000 });
  }

  /** Starts the region workflows of all locks. */
  async startRegions(): Promise<void> {
    await Promise.all(regions.map((region) => this.baton('start', '--region', region)));
  }

  /** One more pod, not started. It ends with the fleet. */
  addPod(region: string, name: string, environment: Record<string, string> = {}): DemoPod {
    const { stack } = this.options;
    const pod = new DemoPod(
      { region, name },
      {
        program: builtFile('cli/main.js'),
        configFile: this.configFile,
        logFolder: this.logFolder,
        environment: { ...this.environment, ...environment },
        adopt: (pid) => stack.adopt(pid, { group: true }),
        // Shows in the figures: a process that is gone cannot be measured.
        onUnexpectedExit: () => {},
      },
    );
    this.pods.push(pod);
    return pod;
  }

  readyOf(survey: Survey, pod: DemoPod): number {
    return [...survey.ready].reduce((sum, [id, count]) => sum + (pod.owns(id) ? count : 0), 0);
  }

  /** The locks that it holds. */
  heldBy(survey: Survey, pod: DemoPod): string[] {
    return [...survey.holders].flatMap(([lock, id]) => (pod.owns(id) ? [lock] : []));
  }

  async survey(): Promise<Survey> {
    const prefix = `/baton/${this.options.id}-`;
    // `.` comes after `-`.
    const range = { key: Buffer.from(prefix), range_end: Buffer.from(`${prefix.slice(0, -1)}.`) };
    const survey: Survey = { held: new Map(), holders: new Map(), ready: new Map() };
    const add = (to: Map<string, number>, name: string): unknown => to.set(name, (to.get(name) ?? 0) + 1);
    for (const { key, value } of (await this.etcd.range('the state of the fleet', range)).kvs) {
      const [, , lock = '', kind, , pod] = key.toString().split('/');
      if (kind === 'holder') {
        const holder = decodeValue('holder', 'holder', value);
        if (!('value' in holder)) continue;
        add(survey.held, holder.value.region);
        survey.holders.set(lock, holder.value.pod);
      } else if (kind === 'candidates' && pod !== undefined) {
        const candidate = decodeValue('candidate', pod, value);
        if ('value' in candidate && candidate.value.state === 'ready' && candidate.value.standing)
          add(survey.ready, pod);
      }
    }
    return survey;
  }

  /** Of one lock, newest first. */
  receipts(lock: string): Promise<Receipt[]> {
    return new EtcdLock(this.etcd, lock, { report: () => {} }).listReceipts(allReceipts);
  }

  /** @returns whether it was so before `giveUpAt` (of `performance.now()`). */
  async until(giveUpAt: number, enough: (survey: Survey) => boolean): Promise<boolean> {
    while (performance.now() < giveUpAt) {
      if (enough(await this.survey())) return true;
      await sleep(surveyMs, undefined, { signal: this.options.signal });
    }
    return false;
  }

  /**
   * The pids by role. In the order of their forks the first that still runs consumes, the next is its spare.
   * @throws Error with the end of its log when the agent has ended.
   */
  processesOf(pod: DemoPod): { role: string; pid: number }[] {
    if (pod.pid === undefined) throw new Error(`pod ${pod.name} has ended:\n${pod.logTail()}`);
    const forked = this.logOf(pod).filter((line) => line['msg'] === 'listener process forked');
    const running = forked.map((line) => Number(line['listenerPid'])).filter((pid) => isRunning(pid));
    return [pod.pid, ...running.slice(0, 2)].map((pid, index) => ({
      role: ['baton agent', 'baton listener', 'baton spare'][index]!,
      pid,
    }));
  }

  /** What the pods have warned of since `since` (ms since 1970): counts by message and reason, the most frequent first. */
  warningsSince(since: number, pods = this.pods): { text: string; count: number }[] {
    const counts = new Map<string, number>();
    for (const line of pods.flatMap((pod) => this.logOf(pod))) {
      if (!['warn', 'error', 'fatal'].includes(String(line['level']))) continue;
      if (Date.parse(String(line['time'])) < since) continue;
      const reason = JSON.stringify(line['reason'] ?? line['error'] ?? '').replaceAll(/\d+/g, 'N');
      const text = `${String(line['msg'])}: ${reason.replaceAll('"', '')}`.slice(0, reasonLength);
      counts.set(text, (counts.get(text) ?? 0) + 1);
    }
    return [...counts].map(([text, count]) => ({ text, count })).toSorted((a, b) => b.count - a.count);
  }

  /** Ends all its processes, as kill -9 would. Idempotent. */
  stop(): void {
    for (const pod of this.pods) pod.kill();
    this.etcd.close();
  }

  /** Runs the command line. @throws Error with what it said when it does not end with exit code 0. */
  async baton(...args: string[]): Promise<void> {
    const { signal } = this.options;
    const argv = [builtFile('cli/main.js'), ...args, '--config', this.configFile];
    const child = spawn(process.execPath, argv, {
      env: this.environment,
      stdio: ['ignore', 'ignore', 'pipe'],
      signal,
    });
    let said = '';
    child.stderr.on('data', (chunk: Buffer) => (said += String(chunk)));
    const code = await new Promise<number | null>((done, fail) => child.on('error', fail).on('close', done));
    if (code !== 0) throw new Error(`baton ${args.join(' ')} ended with exit code ${code}:\n${said}`);
  }

  /** The present boot's log, line by line. */
  logOf(pod: DemoPod): Record<string, unknown>[] {
    if (pod.pid === undefined) return [];
    return readFileSync(pod.logFile, 'utf8')
      .split('\n')
      .filter((line) => line.startsWith('{') && line.endsWith('}'))
      .map((line) => JSON.parse(line) as Record<string, unknown>);
  }

  private config(): object {
    const { stack, rabbitmqUrl, handler, lockSettings, queueSettings } = this.options;
    return {
      regions: Object.fromEntries(regions.map((region) => [region, { amqpUrl: rabbitmqUrl }])),
      etcd: { endpoints: stack.etcdAddresses.map((address) => `http://${address}`) },
      temporal: { address: stack.temporalAddress, namespace: 'default' },
      health: { host: '127.0.0.1', port: 0 },
      locks: Object.fromEntries(
        this.locks.map((name) => [
          name,
          { handler: builtFile(`${handler}.js`), queue: { name, ...queueSettings }, ...lockSettings },
        ]),
      ),
    };
  }

  /** Without the caller's own settings, which are for another system. */
  private get environment(): NodeJS.ProcessEnv {
    const own = Object.entries(process.env).filter(([name]) => !/^(BATON|TEMPORAL)_/.test(name));
    const { stack, environment } = this.options;
    return { ...Object.fromEntries(own), ...stack.environment, ...environment };
  }
}
