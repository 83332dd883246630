import {
  type Client,
  QueryRejectedError,
  WorkflowExecutionAlreadyStartedError,
  type WorkflowHandle,
  WorkflowNotFoundError,
} from '@temporalio/client';
import {
  type GracefulSwitch,
  gracefulSwitchSignal,
  type PodReady,
  podReadySignal,
  type PodStopping,
  podStoppingSignal,
  type RegionInput,
  type RegionStatus,
  regionTaskQueue,
  regionWorkflowId,
  statusQuery,
  type TenureEnded,
  tenureEndedSignal,
} from '../../workflows/contract';
import type { RegionWorkflows } from '../client/region-workflows';
import type { Config } from '../config/config';
import { registerSearchAttributes, type Registration } from './search-attributes';
import { reasonOf, TemporalAwayError } from './temporal-away-error';

/** What became of a signal. */
export type Delivery =
  | { outcome: 'delivered' }
  /** Temporal's word: exactly this workflow is closed, or was never started. */
  | { outcome: 'workflow-gone'; why: string }
  /** Everything else, a missing namespace or permission included: Temporal is away. */
  | { outcome: 'unreachable'; why: string };

const callLimitMs = 5_000;

/** The region workflows over one connection to Temporal. Every call is bounded in time. */
export class RegionClient implements RegionWorkflows {
  private registration: Registration | null = null;

  constructor(
    private readonly client: Client,
    private readonly config: Config,
    private readonly address: string,
  ) {}

  /** Starts the workflow, once however often it is called. @throws TemporalAwayError */
  async start(lock: string, region: string): Promise<'started' | 'already-running'> {
    const settings = this.config.locks.find(({ name }) => name === lock);
    if (!settings) throw new Error(`lock ${lock} is not in the configuration`);
    const { beatMs, drainLimitMs, historyLimit, minSwitchIntervalMs } = settings;
    const searchAttributes = await this.registerOnce();
    const input: RegionInput = {
      lock,
      region,
      settings: { beatMs, drainLimitMs, historyLimit, minSwitchIntervalMs, searchAttributes },
    };
    try {
      await this.bounded(() =>
        this.client.workflow.start('regionWorkflow', {
          args: [input],
          workflowId: regionWorkflowId(lock, region),
          taskQueue: regionTaskQueue(region),
          // One that runs is left alone. FAIL and not USE_EXISTING, because only its answer tells the two apart.
          workflowIdConflictPolicy: 'FAIL',
          workflowIdReusePolicy: 'ALLOW_DUPLICATE',
          // A pod that dies with a task in its hands must not hold the workflow up for ten seconds.
          workflowTaskTimeout: 2_000,
          staticSummary: `${lock} in ${region}`,
        }),
      );
      return 'started';
    } catch (error) {
      if (error instanceof WorkflowExecutionAlreadyStartedError) return 'already-running';
      throw new TemporalAwayError(this.address, error);
    }
  }

  /** @throws TemporalAwayError: whether it was delivered is unknown; with its switch id it may be sent again. */
  async gracefulSwitch(
    lock: string,
    region: string,
    request: GracefulSwitch,
  ): Promise<'delivered' | 'not-running'> {
    try {
      await this.signal(lock, region, gracefulSwitchSignal.name, request);
      return 'delivered';
    } catch (error) {
      if (isGone(error)) return 'not-running';
      throw new TemporalAwayError(this.address, error);
    }
  }

  /** @throws TemporalAwayError also when no pod of the region is there to answer the query. */
  async status(lock: string, region: string): Promise<RegionStatus | 'not-running'> {
    try {
      return await this.bounded(() => this.handle(lock, region).query(statusQuery));
    } catch (error) {
      if (error instanceof QueryRejectedError || isGone(error)) return 'not-running';
      throw new TemporalAwayError(this.address, error);
    }
  }

  podReady(lock: string, region: string, ready: PodReady): Promise<Delivery> {
    return this.deliver(lock, region, podReadySignal.name, ready);
  }

  podStopping(lock: string, region: string, stopping: PodStopping): Promise<Delivery> {
    return this.deliver(lock, region, podStoppingSignal.name, stopping);
  }

  tenureEnded(lock: string, region: string, ended: TenureEnded): Promise<Delivery> {
    return this.deliver(lock, region, tenureEndedSignal.name, ended);
  }

  async close(): Promise<void> {
    await this.client.connection.close();
  }

  /** Never throws: a pod goes on without Temporal. */
  private async deliver(lock: string, region: string, signal: string, payload: unknown): Promise<Delivery> {
    try {
      await this.signal(lock, region, signal, payload);
      return { outcome: 'delivered' };
    } catch (error) {
      return { outcome: isGone(error) ? 'workflow-gone' : 'unreachable', why: reasonOf(error) };
    }
  }

  private signal(lock: string, region: string, signal: string, payload: unknown): Promise<void> {
    return this.bounded(() => this.handle(lock, region).signal(signal, payload));
  }

  private handle(lock: string, region: string): WorkflowHandle {
    return this.client.workflow.getHandle(regionWorkflowId(lock, region));
  }

  private bounded<T>(call: () => Promise<T>): Promise<T> {
    return this.client.withDeadline(Date.now() + callLimitMs, call);
  }

  private async registerOnce(): Promise<boolean> {
    if (!this.registration) {
      this.registration = await registerSearchAttributes(this.client);
      if (!this.registration.registered)
        process.emitWarning(`the Temporal UI does without search attributes: ${this.registration.why}`);
    }
    return this.registration.registered;
  }
}

/** A missing namespace is an error of its own; what else is not found must be said of a workflow. */
const isGone = (error: unknown): boolean =>
  error instanceof WorkflowNotFoundError && /workflow/i.test(error.message);
