import type { Logger } from 'pino';
import type { PodPort } from '../../activities/ports';
import { podQueue, type RegionStatus } from '../../workflows/contract';
import { BatonClient } from '../client/baton-client';
import { Operator } from '../client/operator';
import { WorkflowsAwayError } from '../client/region-workflows';
import type { Config } from '../config/config';
import { RegionClient, type Delivery } from '../temporal/region-client';
import { openTracing } from '../telemetry/tracing';
import { connectClient } from '../temporal/connection';
import { TemporalCredentials } from '../temporal/temporal-credentials';
import { runWorkers, type RunningWorkers, type WorkflowNews } from '../temporal/workers';
import type { PodIdentity } from './candidacy';
import type { LockAgent, WorkflowNotices } from './lock-agent';

/** A pod whose `awaitTenure` has not been open for so long tells its workflow again that it is there. */
const podReadyAfterMs = 10_000;
/** The same while the workflow is known to be gone: it may be started at any time. */
const goneRetryMs = 2_000;
const checkIntervalMs = 500;
const firstRetryMs = 500;
const maxRetryMs = 5_000;
const noticeLimitMs = 2_000;
/** Each signal is a workflow task and a question back: hundreds at once would starve each other. */
const signalsAtOnce = 20;

/**
 * The pod's connection to Temporal: its workers, and the signals to its region workflows. Nothing here is
 * needed to hold a lock: without Temporal it keeps trying, and the pod goes on as it is.
 */
export class TemporalLink implements WorkflowNotices {
  private client: RegionClient | null = null;
  private workers: RunningWorkers | null = null;
  private stopped = false;
  private readonly lastSignalMs = new Map<string, number>();
  private readonly gone = new Set<string>();
  /** Locks whose workflow has not been told of settings that were read again. */
  private readonly untold = new Set<string>();
  private readonly open = new Set<Promise<unknown>>();
  private checker: NodeJS.Timeout | null = null;
  private readonly credentials: TemporalCredentials;
  private renewing = false;
  /** Connects when it is used for the first time. */
  private readonly operatorsClient: BatonClient;

  constructor(
    private readonly config: Config,
    private readonly identity: PodIdentity,
    private readonly pod: PodPort,
    private readonly agents: ReadonlyMap<string, LockAgent>,
    private readonly logger: Logger,
    private readonly told: WorkflowNews = {},
  ) {
    this.credentials = new TemporalCredentials(config.temporal);
    this.operatorsClient = BatonClient.of(config, (reason) =>
      logger.error({ reason }, 'unreadable value in etcd'),
    );
  }

  /** Connects and runs the workers in the background, for ever. */
  start(): void {
    void this.run();
    this.checker = setInterval(() => {
      this.announceWhereNeeded();
      void this.renewCredentials();
    }, checkIntervalMs);
  }

  tenureEnded(lock: string, token: number, why: string): void {
    const notice = { pod: this.identity.pod, token, why };
    this.track(this.client?.tenureEnded(lock, this.identity.region, notice));
  }

  /** Tells the region's workflows what was read again: at once, or when Temporal is back. */
  tellSettings(): void {
    for (const lock of this.agents.keys()) this.untold.add(lock);
    this.announceWhereNeeded();
  }

  /** What a region's workflow says. @throws TemporalAwayError, also while this pod has not connected yet. */
  status(lock: string, region: string): Promise<RegionStatus | 'not-running'> {
    if (!this.client)
      return Promise.reject(new WorkflowsAwayError('this pod has not reached Temporal since it started'));
    return this.client.status(lock, region);
  }

  /** Tells every region workflow that this pod goes; waits two seconds at most. */
  async announceStop(why: string): Promise<void> {
    if (this.checker) clearInterval(this.checker);
    const notice = { pod: this.identity.pod, why };
    for (const lock of this.agents.keys())
      this.track(this.client?.podStopping(lock, this.identity.region, notice));
    const limit = new Promise((resolve) => setTimeout(resolve, noticeLimitMs).unref());
    await Promise.race([Promise.allSettled([...this.open]), limit]);
  }

  async stop(): Promise<void> {
    this.stopped = true;
    if (this.checker) clearInterval(this.checker);
    await this.workers?.shutdown();
    await this.client?.close();
    await this.operatorsClient.close();
  }

  private async run(): Promise<void> {
    let retryMs = firstRetryMs;
    while (!this.stopped) {
      try {
        this.client ??= await connectClient(this.config);
        this.workers = await runWorkers({
          config: this.config,
          region: this.identity.region,
          queue: podQueue(this.identity.region, this.identity.pod),
          pod: this.pod,
          operator: new Operator(this.operatorsClient),
          logger: this.logger,
          tracing: openTracing(this.config),
          ...this.told,
        });
        this.logger.info('polling Temporal');
        this.announceWhereNeeded();
        retryMs = firstRetryMs;
        const failure = await this.workers.ended;
        if (this.stopped) return;
        this.logger.error({ reason: failure?.message }, 'Temporal workers ended; starting them again');
      } catch (error) {
        const reason = error instanceof Error ? error.message : String(error);
        this.logger.warn({ reason }, 'Temporal is away; the pod goes on without it and tries again');
      }
      this.workers = null;
      await new Promise((resolve) => setTimeout(resolve, retryMs));
      retryMs = Math.min(retryMs * 2, maxRetryMs);
    }
  }

  /** The client asks for the API key by itself; everything else is told here. What works is kept until the new one works. */
  private async renewCredentials(): Promise<void> {
    const { client, workers, credentials } = this;
    if (!client || !workers || this.stopped || this.renewing) return;
    this.renewing = true;
    const { files } = credentials;
    try {
      const apiKey = credentials.newApiKey();
      if (apiKey !== null) {
        await workers.setApiKey(apiKey);
        this.logger.info('using the new API key for Temporal');
      }
      const state = files?.replaced() ?? null;
      if (state === null) return;
      const next = await connectClient(this.config);
      try {
        await workers.reconnect();
      } catch (error) {
        await next.close();
        throw error;
      }
      this.client = next;
      files?.accept(state);
      this.logger.info('using the new certificates for Temporal');
      await client.close();
    } catch (error) {
      files?.refuse();
      const reason = error instanceof Error ? error.message : String(error);
      this.logger.warn({ reason }, 'Temporal does not take the new certificates; the old connection stays');
    } finally {
      this.renewing = false;
    }
  }

  private announceWhereNeeded(): void {
    if (!this.client || !this.workers || this.stopped) return;
    const now = performance.now();
    for (const lock of this.untold) this.track(this.tellSettingsOf(lock));
    for (const [lock, agent] of this.agents) {
      const last = this.lastSignalMs.get(lock);
      const pauseMs = this.gone.has(lock) ? goneRetryMs : podReadyAfterMs;
      const due = last === undefined || (agent.subscription.idleMs > pauseMs && now - last > pauseMs);
      if (!due) continue;
      // The others at the next look.
      if (this.open.size >= signalsAtOnce) return;
      this.lastSignalMs.set(lock, now);
      this.track(this.announce(lock, agent));
    }
  }

  private async announce(lock: string, agent: LockAgent): Promise<void> {
    const { region, pod } = this.identity;
    const delivery: Delivery = await this.client!.podReady(lock, region, {
      pod,
      queue: podQueue(region, pod),
    });
    const wasGone = this.gone.has(lock);
    if (delivery.outcome === 'workflow-gone') {
      this.gone.add(lock);
      const reason = `its region workflow is not running: baton start --region ${region}`;
      if (!wasGone) agent.logger.warn({ reason }, 'not standing');
      await agent.standDown(reason);
    } else if (delivery.outcome === 'delivered') {
      this.gone.delete(lock);
    } else {
      agent.logger.warn({ reason: delivery.why }, 'region workflow not told that this pod is ready');
    }
  }

  private async tellSettingsOf(lock: string): Promise<void> {
    const settings = this.agents.get(lock)?.settings;
    this.untold.delete(lock);
    if (!settings) return;
    const { region, pod } = this.identity;
    const delivery = await this.client!.regionSettings(settings, region, pod);
    // One that is started later begins with what stands in the file then.
    if (delivery.outcome === 'unreachable') this.untold.add(lock);
  }

  /** A notice that is lost is found out by the next beat; it must not disturb the pod. */
  private track(work: Promise<unknown> | undefined): void {
    if (!work) return;
    const settled = work
      .catch((error: unknown) => this.logger.warn({ err: error }, 'notice to the region workflow failed'))
      .finally(() => this.open.delete(settled));
    this.open.add(settled);
  }
}
