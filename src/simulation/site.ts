import type { ITxnRequest } from 'etcd3';
import type { Logger } from 'pino';
import type { LockSettings } from '../config/config';
import { completeTiming } from '../config/lock-timing';
import { EtcdClient } from '../etcd/etcd-client';
import type { Handler } from '../listener/handler';
import { Judge } from './judge';
import { connectSimulated } from './simulated-amqp';
import { SimulatedBroker } from './simulated-broker';
import { SimulatedEndpoint } from './simulated-endpoint';
import { SimulatedEtcd } from './simulated-etcd';
import { Machine, type SimulatedProcess } from './simulated-process';
import { SimulatedPod } from './simulated-pod';
import { SimulatedTemporal } from './simulated-temporal';
import { freshRoute, type Route, type World } from './world';

export const members = ['e1', 'e2', 'e3'] as const;

/** A machine's ways to the servers. */
export interface Routes {
  etcd: Record<string, Route>;
  broker: Route;
  temporal: Route;
}

/** What the handler does with one message. */
export interface Work {
  ms: number;
  /** Attempts that throw at their end. */
  throws: number;
  /** The first attempt keeps its thread for so long instead of waiting. */
  blocks: boolean;
}

interface Place {
  name: string;
  region: string;
  machine: Machine;
  routes: Routes;
  boots: number;
  pod: SimulatedPod | null;
}

/** Everything that one seed simulates: servers, machines, pods, and the judge who watches them. */
export class Site {
  readonly etcd: SimulatedEtcd;
  readonly broker: SimulatedBroker;
  readonly temporal: SimulatedTemporal;
  readonly judge: Judge;
  readonly settings: LockSettings;
  readonly places: Place[] = [];
  readonly work = new Map<string, Work>();
  /** Members that take no connections, in global ms. */
  readonly memberDownUntil = new Map<string, number>();
  /** Told once of the next answer to a keepalive of the process. */
  readonly atKeepAlive = new Map<SimulatedProcess, () => void>();
  /** Which member answered the agent's last keepalive. */
  readonly keptAliveBy = new Map<SimulatedProcess, string>();
  /** Told once of the next transaction that hands the lock over, and by how many ms it reaches etcd late. */
  nextHandOver: ((sender: SimulatedProcess) => number) | null = null;
  /** By how much all watches hear late of what changes. */
  newsLateMs = 0;
  alter: (request: ITxnRequest) => ITxnRequest = (request) => request;

  constructor(
    readonly world: World,
    leaseTtlMs: number,
  ) {
    this.settings = settingsOf(leaseTtlMs);
    this.etcd = new SimulatedEtcd(world, world.between(0.95, 1.05));
    this.judge = new Judge(world, this.etcd, this.settings);
    this.broker = new SimulatedBroker(world, this.judge);
    this.temporal = new SimulatedTemporal(world);
    this.temporal.onInstruction = (input) => this.judge.noteInstruction(input);
  }

  addPlace(name: string, region: string): Place {
    const { world } = this;
    const machine = new Machine(
      name,
      world.between(0.93, 1.07),
      world.between(1e6, 1e8),
      1_800_000_000_000 + world.between(-6e4, 6e4),
    );
    const etcd = Object.fromEntries(members.map((member) => [member, freshRoute()]));
    const routes = { etcd, broker: freshRoute(), temporal: freshRoute() };
    const place: Place = { name, region, machine, routes, boots: 0, pod: null };
    this.places.push(place);
    return place;
  }

  boot(place: Place): void {
    const { name, region, machine, routes } = place;
    place.pod = new SimulatedPod(this, region, name, (place.boots += 1), machine, routes);
  }

  get pods(): SimulatedPod[] {
    return this.places.flatMap(({ pod }) => (pod?.isAlive ? [pod] : []));
  }

  /** A pod works under the holder's token, and both regions' workflows know it. */
  isAtRest(): boolean {
    const token = this.judge.holderToken;
    if (token === null) return false;
    const holder = this.pods.find(({ agent }) => agent?.tenure?.token === token);
    if (!holder || holder.isStopping || holder.agent?.tenure?.phase !== 'running') return false;
    return [...this.temporal.workflows.values()].every(({ region, status }) => {
      const { phase, tenure } = status;
      return holder.region === region
        ? phase === 'active' && tenure?.token === token
        : phase === 'standby' && tenure === null;
    });
  }

  /** Who believes what. */
  describe(): string {
    const pods = this.pods.map(
      ({ id, agent }) => `${id}: ${agent?.tenure?.token ?? agent?.whyNotReady() ?? 'ready'}`,
    );
    const workflows = [...this.temporal.workflows.values()].map(
      ({ region, status }) => `${region}: ${status.phase} ${status.tenure?.token ?? '-'} (${status.why})`,
    );
    return [`holder ${this.judge.holderToken}`, ...pods, ...workflows].join('; ');
  }

  connectEtcd(process: SimulatedProcess, routes: Routes): EtcdClient {
    const { world, etcd, judge, settings } = this;
    const connect = (name: string): SimulatedEndpoint =>
      new SimulatedEndpoint(name, process, {
        etcd,
        route: routes.etcd[name] as Route,
        isDown: () => (this.memberDownUntil.get(name) ?? 0) > world.now,
        lateMs: (request) => {
          const act = this.nextHandOver;
          if (!act || judge.holderToken === null || !this.puts(request, 'holder')) return 0;
          this.nextHandOver = null;
          return act(process);
        },
        newsLateMs: () => this.newsLateMs,
        onKeepAlive: (keeper) => {
          this.keptAliveBy.set(keeper, name);
          const act = this.atKeepAlive.get(keeper);
          this.atKeepAlive.delete(keeper);
          act?.();
        },
        onHolderRead: (reader) => judge.noteHolderRead(reader),
        alter: (request) => this.alter(request),
      });
    // With a login the guard asks through the same client, and not through an HTTP/2 session of its own.
    const address = { endpoints: [...members], username: 'simulated', password: 'simulated' };
    return new EtcdClient(address, { requestTimeoutMs: settings.requestTimeoutMs, connect });
  }

  connectBroker(process: SimulatedProcess, { broker: route }: Routes): Promise<unknown> {
    const heartbeatMs = this.settings.queue.heartbeatSeconds * 1_000;
    return connectSimulated(process, this.broker, route, heartbeatMs);
  }

  private puts({ success = [] }: ITxnRequest, key: string): boolean {
    const full = `/baton/${this.settings.name}/${key}`;
    return success.some(({ request_put: put }) => String(put?.key) === full);
  }

  handlerIn(process: SimulatedProcess): Handler {
    const { judge } = this;
    return ({ messageId = '' }, { token, signal }) => {
      const work = this.work.get(messageId);
      if (!work) throw new Error(`message ${messageId} was never published`);
      const execution = judge.begin(messageId, token, process);
      const end = (): void => {
        const fails = work.throws > 0;
        if (fails) work.throws -= 1;
        judge.end(execution, !fails);
        if (fails) throw new Error(`message ${messageId} fails`);
      };
      if (work.ms === 0) return end();
      if (work.blocks) {
        work.blocks = false;
        process.stopWithin(1, work.ms, []);
        process.readClock();
        return end();
      }
      return new Promise<void>((resolve) => setTimeout(resolve, work.ms)).then(() => {
        void signal;
        end();
      });
    };
  }

  loggerOf(process: SimulatedProcess): Logger {
    return this.world.isTraced ? tracingLogger(process) : silentLogger;
  }
}

const silent = (): void => {};
const silentLogger = {
  debug: silent,
  info: silent,
  warn: silent,
  error: silent,
  fatal: silent,
  child: () => silentLogger,
} as unknown as Logger;

/** What Baton says, among what happens. */
function tracingLogger(process: SimulatedProcess): Logger {
  const say =
    (level: string) =>
    (fields: unknown, text?: string): void => {
      const { err, ...rest } = (typeof fields === 'object' ? fields : {}) as Record<string, unknown>;
      const more = err instanceof Error ? { ...rest, err: err.message } : rest;
      const said = text ?? (typeof fields === 'string' ? fields : '');
      process.world.remark(process, `${level}: ${said} ${JSON.stringify(more)}`);
    };
  const logger = {
    debug: silent,
    info: say('says'),
    warn: say('warns'),
    error: say('error'),
    fatal: say('fatal'),
    child: (): unknown => logger,
  };
  return logger as unknown as Logger;
}

function settingsOf(leaseTtlMs: number): LockSettings {
  return {
    ...completeTiming({ leaseTtlMs }),
    name: 'orders',
    beatMs: leaseTtlMs,
    drainLimitMs: 800,
    stallLimitMs: 1_500,
    healthLimitMs: 3_000,
    minSwitchIntervalMs: 0,
    maxChangesPerHour: 1_000,
    approvalWithinMs: 0,
    hooks: [],
    maxFailureRate: 1,
    preference: { order: [], never: [], failback: null },
    historyLimit: 60,
    drill: { objectiveMs: null, crashObjectiveMs: null, allowCrash: false },
    queue: {
      name: 'orders',
      declare: false,
      deadLetterExchange: 'orders.dead',
      deliveryLimit: 100,
      prefetch: 6,
      concurrency: 3,
      maxDeliveries: 50,
      heartbeatSeconds: 1,
    },
    handler: '/none',
    process: 'own',
  };
}
