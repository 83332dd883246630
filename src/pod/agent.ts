import { randomBytes } from 'node:crypto';
import { bulkhead } from 'cockatiel';
import type { Logger } from 'pino';
import type { AuditEvent, AuditRecord } from '../audit/audit-entry';
import { AuditFile } from '../audit/audit-file';
import { AuditPostgres } from '../audit/audit-postgres';
import type { Config, LockSettings } from '../config/config';
import { handOverGraceMs } from '../config/stop-limit';
import { tlsFilesOf } from '../config/tls-files';
import { EtcdClient } from '../etcd/etcd-client';
import { EtcdLock } from '../etcd/etcd-lock';
import { lockLogger, setLogLevel } from '../telemetry/logger';
import { ListenerMetrics } from '../telemetry/listener-metrics';
import { PodMetrics } from '../telemetry/metrics';
import { openTracing, type Tracing } from '../telemetry/tracing';
import { sdkMetricsText } from '../temporal/sdk-metrics';
import { version } from '../version';
import { ViewWatch } from '../verify/view-watch';
import { AuditTrail } from './audit-trail';
import type { PodIdentity } from './candidacy';
import { ConfigReload } from './config-reload';
import { advertisedAddress } from './advertised-address';
import {
  type HealthPort,
  HealthServer,
  type LockCheck,
  type LockVerdict,
  type Verdict,
} from './health-server';
import { ListenerGroup } from './listener-group';
import { LockAgent } from './lock-agent';
import { LockMetrics } from './lock-metrics';
import { Pod } from './pod';
import { TemporalLink } from './temporal-link';

/** What a shutdown may take on top of the longest drain limit. */
const flushLimitMs = 1_000;
/** The agent's loop is stuck when a timer of this interval is late by more than the limit below. */
const loopCheckMs = 500;
const loopStuckMs = 10_000;
/** Locks that open their leases and candidate keys: hundreds at once would time out on each other's requests. */
const registeringAtOnce = 20;

export interface AgentOptions {
  config: Config;
  region: string;
  /** The pod's name; its id is the name plus a boot id, so that a restarted pod is another pod. */
  podName: string;
  /** Creates the pod's logger once its id is known. */
  createLogger: (pod: string) => Logger;
}

/**
 * The pod's parent process: a lock agent per lock over one etcd client, the listener processes, the link to
 * Temporal, and the health endpoint. Needs neither etcd nor Temporal to be there when it starts.
 */
export class Agent implements HealthPort {
  readonly identity: PodIdentity;
  readonly logger: Logger;
  private readonly etcd: EtcdClient;
  private readonly agents = new Map<string, LockAgent>();
  private readonly groups: ListenerGroup[] = [];
  private readonly podMetrics: PodMetrics;
  private readonly listenerMetrics = new ListenerMetrics();
  private readonly healthServer: HealthServer;
  private readonly temporal: TemporalLink;
  private readonly viewWatch: ViewWatch;
  private readonly audit: AuditRecord[];
  private readonly tracing: Tracing;
  private readonly loopCheck: NodeJS.Timeout;
  private lastLoopMs = performance.now();
  private stopping: Promise<void> | null = null;
  private readonly reloading: ConfigReload;

  constructor({ config, region, podName, createLogger }: AgentOptions) {
    const pod = `${podName}-${randomBytes(4).toString('hex')}`;
    this.identity = { region, pod, version };
    this.logger = createLogger(pod);
    this.podMetrics = new PodMetrics({ version, region, locks: config.locks });
    const requestTimeoutMs = Math.min(...config.locks.map((lock) => lock.requestTimeoutMs));
    this.etcd = new EtcdClient(config.etcd, { requestTimeoutMs });
    this.tracing = openTracing(config, pod);
    this.audit = this.openAudit(config, podName);
    const append = (event: AuditEvent): void => this.audit.forEach((record) => record.append(event));
    const port = new Pod(this.agents, { regions: config.regions, killSelf: () => this.killSelf() });
    this.temporal = new TemporalLink(config, this.identity, port, this.agents, this.logger, {
      onDrillEnded: (report) => this.podMetrics.drill(report),
      onDecision: (line) => append({ kind: 'transition', ...line }),
    });
    const registering = bulkhead(registeringAtOnce, Infinity);
    for (const [settings, group] of this.forkListeners(config)) {
      const lockLog = lockLogger(this.logger, settings.name);
      const report = (reason: string): void => lockLog.error({ reason }, 'unreadable value in etcd');
      // The keeper reads at each interval anyway: a watch that has died silently costs no more than that.
      const watchSilenceMs = 2 * Math.max(requestTimeoutMs, settings.keeperIntervalMs);
      const store = new EtcdLock(this.etcd, settings.name, { report, watchSilenceMs });
      const metrics = new LockMetrics(this.podMetrics, settings.name, region);
      const agent = new LockAgent(settings, this.identity, store, group, metrics, this.temporal, lockLog);
      agent.takeOver.tracing = this.tracing;
      agent.registering = registering;
      if (this.audit.length > 0) agent.audit = new AuditTrail(settings.name, store, append);
      this.agents.set(settings.name, agent);
    }
    this.viewWatch = new ViewWatch({
      config,
      agents: this.agents,
      status: (lock, inRegion) => this.temporal.status(lock, inRegion),
      metrics: this.podMetrics,
      logger: this.logger,
    });
    this.reloading = new ConfigReload(config, this.logger, this.podMetrics, () =>
      this.settingsChanged(config),
    );
    this.healthServer = new HealthServer(config.health, this, this.logger);
    this.loopCheck = setInterval(() => (this.lastLoopMs = performance.now()), loopCheckMs);
  }

  /** Opens the health endpoint and starts everything else in the background. */
  async start(): Promise<void> {
    this.identity.health = advertisedAddress(await this.healthServer.open());
    for (const agent of this.agents.values()) agent.start();
    this.temporal.start();
    this.viewWatch.start();
    this.logger.info({ locks: [...this.agents.keys()] }, 'pod started');
  }

  /**
   * Drains, hands every lock over or releases it, and ends all processes; idempotent. Bounded by `stopLimitMs`: what has
   * not been given up ten seconds after the longest drain limit ends with its lease.
   */
  stop(why: string): Promise<void> {
    this.stopping ??= this.stopOnce(why);
    return this.stopping;
  }

  /**
   * Reads the configuration again and takes over what a running pod can: no tenure, process or connection ends for it.
   * All or nothing: where anything cannot be used, or needs a restart, everything stays as it was and the reason is in
   * the log, the metrics and `/healthz`. Never throws.
   */
  reload(load: () => Config): void {
    if (this.stopping) this.logger.warn({ reason: 'the pod is stopping' }, 'configuration not read again');
    else this.reloading.reload(load);
  }

  private settingsChanged({ logLevel }: Config): void {
    setLogLevel(this.logger, logLevel);
    for (const group of this.groups) group.settingsChanged(logLevel);
    for (const agent of this.agents.values()) agent.settingsChanged();
    this.viewWatch.start();
    this.temporal.tellSettings();
  }

  get locks(): string[] {
    return [...this.agents.keys()];
  }

  health(): Verdict {
    const stuckMs = performance.now() - this.lastLoopMs;
    if (stuckMs > loopStuckMs)
      return { ok: false, why: `the agent's loop stood still for ${Math.round(stuckMs)} ms` };
    for (const agent of this.agents.values())
      if (agent.tenure && agent.tenure.phase === 'running' && agent.tenure.marginMs < 0)
        return { ok: false, why: `tenure ${agent.tenure.token} of ${agent.lock} runs past its deadline` };
    return { ok: true, why: 'no tenure runs past its deadline', config: this.reloading.last };
  }

  check(what: LockCheck, lock: string): LockVerdict {
    const agent = this.agents.get(lock);
    if (!agent) return { lock, ok: false, why: 'is no lock of this pod' };
    const { tenure } = agent;
    const verdict = (why: string | null, good: string): LockVerdict => ({
      lock,
      ok: why === null,
      why: why ?? good,
    });
    const holds = tenure ? `holds token ${tenure.token}` : 'ready';
    switch (what) {
      case 'readiness':
        return verdict(tenure ? null : agent.whyNotReady(), holds);
      case 'startup':
        return verdict(agent.whyNotStarted(), 'its listener has started');
      case 'standby':
        return verdict(agent.whyNotStandby(), 'ready and standing');
      case 'holder': {
        // A tenure past its deadline is none, whether or not its listener is dead already.
        const token = tenure?.isValid() ? tenure.token : null;
        return { ...verdict(agent.whyNotHolder(), holds), token };
      }
    }
  }

  async metrics(): Promise<string> {
    for (const agent of this.agents.values()) agent.report();
    const [own, sdk] = await Promise.all([this.podMetrics.text(this.listenerMetrics), sdkMetricsText()]);
    return `${own.trimEnd()}\n${sdk}`;
  }

  /** `{pod}` stands for the pod's name and not its boot: a restarted pod goes on in the same file. */
  private openAudit({ audit = {} }: Config, podName: string): AuditRecord[] {
    const { region, pod } = this.identity;
    const { file: path, postgresUrl } = audit;
    const records: AuditRecord[] = [];
    const own = { region, pod, version };
    if (path !== undefined) {
      const file = path.replaceAll('{pod}', podName).replaceAll('{region}', region);
      const onProblem = (reason: string): void =>
        this.logger.error({ file, reason }, 'audit record incomplete');
      records.push(new AuditFile({ ...own, file, onProblem }));
    }
    if (postgresUrl !== undefined) {
      const onProblem = (reason: string): void => this.logger.error({ reason }, 'audit record incomplete');
      const known = (): (() => Promise<AuditEvent[]>)[] =>
        [...this.agents.values()].flatMap(({ audit: trail }) => (trail ? [() => trail.allReceipts()] : []));
      records.push(new AuditPostgres({ ...own, url: postgresUrl, onProblem, known }));
    }
    return records;
  }

  private forkListeners(config: Config): [LockSettings, ListenerGroup][] {
    const broker = config.regions.find((region) => region.name === this.identity.region);
    if (!broker) throw new Error(`region ${this.identity.region} is not in the configuration`);
    const shared = config.locks.filter((lock) => lock.process === 'shared');
    const own = config.locks.filter((lock) => lock.process === 'own').map((lock) => [lock]);
    return [shared, ...own]
      .filter((locks) => locks.length > 0)
      .flatMap((locks) => {
        const init = {
          region: this.identity.region,
          pod: this.identity.pod,
          etcd: config.etcd,
          locks: locks.map((settings) => ({
            settings,
            amqpUrl: broker.amqpUrl,
            ...(broker.amqpUrlFile !== undefined && { amqpUrlFile: broker.amqpUrlFile }),
            amqpTls: tlsFilesOf(broker),
          })),
          logLevel: config.logLevel,
          tracing: this.tracing.isOn,
        };
        const group = new ListenerGroup(init, locks, this.logger);
        // One listener per lock, and each adds a handful of event handlers.
        group.setMaxListeners(locks.length + 10);
        group.on('metrics', (pid, snapshot) => this.listenerMetrics.update(pid, snapshot));
        group.on('retired', (pid) => this.listenerMetrics.retire(pid));
        this.groups.push(group);
        return locks.map((settings): [LockSettings, ListenerGroup] => [settings, group]);
      });
  }

  /** In one turn of the loop, so that no death is acted on. */
  private killSelf(): void {
    for (const group of this.groups) group.kill('killed for a crash drill');
    process.kill(process.pid, 'SIGKILL');
  }

  private async stopOnce(why: string): Promise<void> {
    this.logger.info({ reason: why }, 'pod is stopping');
    this.viewWatch.stop();
    const agents = [...this.agents.values()];
    const limitMs = Math.max(...agents.map((agent) => agent.settings.drainLimitMs)) + handOverGraceMs;
    await this.within(
      limitMs,
      'giving up the locks',
      agents.map((agent) => agent.shutDown(why)),
    );
    await this.temporal.announceStop(why);
    // Keys may go only after the listeners are dead.
    await Promise.all(this.groups.map((group) => group.close()));
    await this.within(
      3_000,
      'revoking the leases',
      agents.map((agent) => agent.finish()),
    );
    await this.temporal.stop();
    await this.within(
      2_000,
      'writing the audit record',
      this.audit.map((record) => record.close()),
    );
    await this.tracing.flush(flushLimitMs);
    this.etcd.close();
    clearInterval(this.loopCheck);
    await this.healthServer.close();
    this.logger.info({ reason: why }, 'pod stopped');
  }

  /** A part that fails or hangs must keep neither the others nor the rest of the shutdown from ending. */
  private async within(limitMs: number, what: string, parts: Promise<void>[]): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<null>((resolve) => {
      timer = setTimeout(() => resolve(null), limitMs);
    });
    const results = await Promise.race([Promise.allSettled(parts), late]);
    clearTimeout(timer);
    if (!results) this.logger.error({ reason: `not done within ${limitMs} ms` }, `shutdown went on: ${what}`);
    for (const result of results ?? [])
      if (result.status === 'rejected')
        this.logger.error({ err: result.reason as unknown }, `failed: ${what}`);
  }
}
