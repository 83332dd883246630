import { Client, Connection, type WorkflowHandle } from '@temporalio/client';
import pino from 'pino';
import type { Config, LockSettings } from '../../src/config/config';
import { connectClient } from '../../src/temporal/connection';
import type { RegionClient } from '../../src/temporal/region-client';
import { type RunningWorkers, runWorkers } from '../../src/temporal/workers';
import { podQueue, type RegionStatus, regionWorkflowId, type Tenure } from '../../workflows/contract';
import { eventually } from '../support/eventually';
import { sharedServers, uniqueName } from '../support/servers';
import { FakeOperator } from './fake-operator';
import { FakePod, FakeTruth } from './fake-pod';
import { writeHistory } from './history-file';

/** One lock with regions and fake pods of its own, real workflows, workers and server. */
export class RegionFixture {
  readonly lock = uniqueName('orders');
  readonly east = uniqueName('east');
  readonly west = uniqueName('west');
  readonly truth = new FakeTruth();
  readonly operator = new FakeOperator();
  private readonly running = new Map<string, { pod: FakePod; workers: RunningWorkers }>();

  private constructor(
    readonly config: Config,
    readonly client: RegionClient,
    readonly temporal: Client,
  ) {}

  static async create(settings: Partial<LockSettings> = {}): Promise<RegionFixture> {
    const address = sharedServers().temporal;
    const config = { temporal: { address }, locks: [] as LockSettings[] } as unknown as Config;
    const connection = await Connection.connect({ address });
    const fixture = new RegionFixture(config, await connectClient(config), new Client({ connection }));
    const timings = {
      beatMs: 1_000,
      drainLimitMs: 1_000,
      historyLimit: 10_000,
      minSwitchIntervalMs: 0,
      hooks: [],
    };
    config.locks.push({ name: fixture.lock, ...timings, ...settings } as LockSettings);
    return fixture;
  }

  handle(region = this.east): WorkflowHandle {
    return this.temporal.workflow.getHandle(regionWorkflowId(this.lock, region));
  }

  /** Starts a pod's workers and registers it. */
  async pod(name: string, region = this.east): Promise<FakePod> {
    const id = uniqueName(name);
    const pod = new FakePod(this.lock, region, id, this.truth);
    const workers = await runWorkers({
      config: this.config,
      region,
      queue: podQueue(region, id),
      pod,
      operator: this.operator,
      logger: pino({ level: process.env['BATON_TEST_LOG'] ?? 'silent' }),
    });
    this.running.set(id, { pod, workers });
    await this.client.podReady(this.lock, region, { pod: id, queue: podQueue(region, id) });
    return pod;
  }

  podsOf(): FakePod[] {
    return [...this.running.values()].map(({ pod }) => pod);
  }

  /** As if the pod had died: nobody polls its queues any more. */
  async kill(pod: FakePod): Promise<void> {
    pod.end();
    await this.running.get(pod.pod)?.workers.shutdown();
    this.running.delete(pod.pod);
    this.truth.candidates = this.truth.candidates.filter((candidate) => candidate.pod !== pod.pod);
  }

  async status(region = this.east): Promise<RegionStatus> {
    const status = await this.client.status(this.lock, region);
    if (status === 'not-running') throw new Error(`the workflow of ${this.lock} in ${region} is not running`);
    return status;
  }

  /** Waits until the status fits. */
  until(partial: object, limitMs = 30_000): Promise<RegionStatus> {
    return eventually(async () => {
      const status = await this.status();
      // oxlint-disable-next-line jest/no-standalone-expect -- its message shows what is different
      expect(status).toMatchObject(partial);
      return status;
    }, limitMs);
  }

  /** Starts the workflow of the east with a pod there that holds the lock. */
  async active(): Promise<{ pod: FakePod; tenure: Tenure }> {
    await this.client.start(this.lock, this.east);
    const pod = await this.pod('e1');
    const tenure = this.truth.give(pod);
    await this.until({ phase: 'active', tenure: { token: tenure.token } });
    return { pod, tenure };
  }

  ask(switchId: string, to?: string): Promise<'delivered' | 'not-running'> {
    const request = { switchId, reason: 'maintenance', by: 'anna', ...(to === undefined ? {} : { to }) };
    return this.client.gracefulSwitch(this.lock, this.east, request);
  }

  /** Asked again, as every client does, while the workflow is busy. */
  preflight(region: string): ReturnType<RegionClient['preflight']> {
    return eventually(async () => {
      const answer = await this.client.preflight(this.lock, region, {});
      if (answer.outcome === 'ask-again') throw new Error('the workflow of the region is busy');
      return answer;
    });
  }

  /** Keeps the history for the replay test, with BATON_RECORD=1. */
  async record(
    name: string,
    { id = regionWorkflowId(this.lock, this.east), runId }: { id?: string; runId?: string } = {},
  ): Promise<void> {
    if (process.env['BATON_RECORD'] !== '1') return;
    writeHistory(name, await this.temporal.workflow.getHandle(id, runId).fetchHistory());
  }

  async close(): Promise<void> {
    for (const region of [this.east, this.west])
      // Not every test starts both, and some end them themselves.
      await this.handle(region)
        .terminate('the test is over')
        .catch(() => undefined);
    await Promise.all([...this.running.values()].map(({ pod }) => this.kill(pod)));
    await this.client.close();
    await this.temporal.connection.close();
  }
}
