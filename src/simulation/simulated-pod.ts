import { createPodActivities } from '../../activities/pod-activities';
import { podQueue, regionWorkflowId } from '../../workflows/names';
import { EtcdLock } from '../etcd/etcd-lock';
import { LockAgent } from '../pod/lock-agent';
import { ListenerGroup } from '../pod/listener-group';
import type { LockMetrics } from '../pod/lock-metrics';
import { Pod } from '../pod/pod';
import { SimulatedChild } from './simulated-child';
import { SimulatedProcess, type Machine } from './simulated-process';
import type { Site, Routes } from './site';

/** As `temporal-link.ts` has them. */
const announceCheckMs = 500;
const podReadyAfterMs = 10_000;

/** One container: its agent process, and the listener processes that this forks. What `agent.ts` wires, for one lock. */
export class SimulatedPod {
  readonly id: string;
  readonly agentProcess: SimulatedProcess;
  readonly children: SimulatedChild[] = [];
  agent: LockAgent | null = null;
  isStopping = false;
  private lastAnnouncedMs = -Infinity;

  constructor(
    private readonly site: Site,
    readonly region: string,
    name: string,
    boot: number,
    readonly machine: Machine,
    private readonly routes: Routes,
  ) {
    const { world } = site;
    this.id = `${name}-${boot}`;
    this.agentProcess = new SimulatedProcess(world, this.id, machine);
    this.agentProcess.bootFor(world.between(50, 300));
    this.agentProcess.services = { fork: () => this.fork() };
    world.enter(this.agentProcess, () => this.start());
  }

  get isAlive(): boolean {
    return this.agentProcess.isAlive;
  }

  /** Those of its processes that run, by thread. */
  get threads(): SimulatedProcess[] {
    const listeners = this.children.flatMap(({ main, watchdog }) => [main, watchdog]);
    return [this.agentProcess, ...listeners].filter(({ isAlive }) => isAlive);
  }

  /** The machine loses its power. */
  kill(why: string): void {
    for (const { main, watchdog } of this.children) {
      main.kill(why);
      watchdog.kill(why);
    }
    this.agentProcess.kill(why);
  }

  /** SIGTERM. */
  stop(): void {
    this.isStopping = true;
    this.site.world.enter(this.agentProcess, () => void this.leave());
  }

  private start(): void {
    const { site, id, region, routes } = this;
    const { settings, temporal } = site;
    const logger = site.loggerOf(this.agentProcess);
    const client = site.connectEtcd(this.agentProcess, routes);
    const store = new EtcdLock(client, settings.name, {
      report: (problem) => site.world.violate('unreadable value', problem),
      watchSilenceMs: 2 * Math.max(settings.requestTimeoutMs, settings.keeperIntervalMs),
    });
    const init = { region, pod: id, etcd: { endpoints: ['e1'] }, locks: [], logLevel: 'silent' };
    const group = new ListenerGroup(
      { ...init, locks: [{ settings, amqpUrl: 'amqp://broker' }] },
      [settings],
      logger,
    );
    const sender = { process: this.agentProcess, route: routes.temporal };
    const workflowId = regionWorkflowId(settings.name, region);
    const notices = {
      tenureEnded: (_lock: string, token: number, why: string) =>
        temporal.signal(sender, workflowId, 'tenureEnded', { pod: id, token, why }),
    };
    const agent = new LockAgent(
      settings,
      { region, pod: id, version: 'simulated' },
      store,
      group,
      noMetrics as LockMetrics,
      notices,
      logger,
    );
    this.agent = agent;
    const port = new Pod(new Map([[settings.name, agent]]), {
      regions: [],
      killSelf: () => this.kill('a crash drill'),
    });
    const activities = createPodActivities(port) as unknown as Record<
      string,
      (input: unknown) => Promise<unknown>
    >;
    const queue = podQueue(region, id);
    const run = (activity: string, input: unknown): Promise<unknown> =>
      (activities[activity] as (input: unknown) => Promise<unknown>)(input);
    temporal.workers.set(queue, { ...sender, run });
    agent.start();
    const announce = (): void => {
      const now = performance.now();
      const { idleMs } = agent.subscription;
      const isFirst = this.lastAnnouncedMs === -Infinity;
      if (!isFirst && (idleMs <= podReadyAfterMs || now - this.lastAnnouncedMs <= podReadyAfterMs)) return;
      this.lastAnnouncedMs = now;
      temporal.signal(sender, workflowId, 'podReady', { pod: id, queue });
    };
    announce();
    const announcer = setInterval(announce, announceCheckMs);
    this.stopParts = async () => {
      await agent.shutDown('SIGTERM');
      clearInterval(announcer);
      temporal.signal(sender, workflowId, 'podStopping', { pod: id, why: 'SIGTERM' });
      await group.close();
      await agent.finish();
    };
  }

  private stopParts: () => Promise<void> = () => Promise.resolve();

  private async leave(): Promise<void> {
    // As `agent.ts` does, a part that fails keeps nothing from ending.
    await this.stopParts().catch(() => {});
    this.agentProcess.note(() => this.kill('has stopped'));
  }

  private fork(): SimulatedChild {
    const { site, region, id, routes, children } = this;
    const means = {
      settings: site.settings,
      region,
      pod: id,
      connectEtcd: (process: SimulatedProcess) => site.connectEtcd(process, routes),
      connectBroker: (process: SimulatedProcess) => site.connectBroker(process, routes),
      handlerIn: (process: SimulatedProcess) => site.handlerIn(process),
      loggerOf: (process: SimulatedProcess) => site.loggerOf(process),
    };
    const name = `${id} listener ${children.length + 1}`;
    return new SimulatedChild(this.agentProcess, name, means, (child) => children.push(child));
  }
}

/** All that a lock's metrics can be told: what is added there must be added here. */
const noMetrics: Pick<LockMetrics, keyof LockMetrics> = {
  beatPeriod: () => {},
  acquisition: () => {},
  extension: () => {},
  tenure: () => {},
  holding: () => {},
  beat: () => {},
  beatAge: () => {},
  gap: () => {},
  recovered: () => {},
  drained: () => {},
  standby: () => {},
  notHolding: () => {},
  margin: () => {},
  flapping: () => {},
  candidateReady: () => {},
  receipt: () => {},
};
