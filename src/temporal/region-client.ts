import { randomUUID } from 'node:crypto';
import {
  type Client,
  QueryRejectedError,
  WorkflowExecutionAlreadyStartedError,
  type WorkflowHandle,
  WorkflowNotFoundError,
  WorkflowUpdateFailedError,
  WorkflowUpdateRPCTimeoutOrCancelledError,
} from '@temporalio/client';
import { ApplicationFailure, type UpdateDefinition } from '@temporalio/common';
import {
  type AbortSwitch,
  abortSwitchUpdate,
  type Approval,
  approveUpdate,
  askAgain,
  type Force,
  type ForceOutcome,
  forceUpdate,
  type GracefulSwitch,
  gracefulSwitchSignal,
  type Mark,
  type MarkResult,
  markUpdate,
  type PodReady,
  podReadySignal,
  type RegionSettingsChange,
  regionSettingsSignal,
  type PodStopping,
  podStoppingSignal,
  type PreflightQuestion,
  type PreflightReport,
  preflightUpdate,
  type RegionInput,
  type RegionStatus,
  regionTaskQueue,
  regionWorkflowId,
  statusQuery,
  type SwitchOutcome,
  type SwitchTo,
  switchToUpdate,
  type TenureEnded,
  tenureEndedSignal,
} from '../../workflows/contract';
import type { Answer, RegionWorkflows, SavedHistory } from '../client/region-workflows';
import type { Config, LockSettings } from '../config/config';
import { exportHistories, type IsWanted } from './history-archive';
import { OperationsClient } from './operations-client';
import { checkReadable } from './sealed-history';
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
/** An update's answer is waited for as long as a drain may well take; then it is asked for again. */
const updateLimitMs = 10_000;
/** Between this machine's clock and the server's: an update that was given up is not carried out any later. */
const clockDifferenceMs = 30_000;

/** The region workflows over one connection to Temporal. Every call is bounded in time. */
export class RegionClient implements RegionWorkflows {
  readonly operations: OperationsClient;
  private registration: Registration | null = null;

  constructor(
    private readonly client: Client,
    private readonly config: Config,
    private readonly address: string,
  ) {
    this.operations = new OperationsClient(client, address);
  }

  /** Starts the workflow, once however often it is called. @throws TemporalAwayError */
  async start(lock: string, region: string): Promise<'started' | 'already-running'> {
    const settings = this.config.locks.find(({ name }) => name === lock);
    if (!settings) throw new Error(`lock ${lock} is not in the configuration`);
    const searchAttributes = await this.registerOnce();
    const input: RegionInput = {
      lock,
      region,
      settings: { ...workflowSettings(settings), searchAttributes },
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
          // For a run that cannot be replayed; what it knows is in etcd, too.
          retry: { initialInterval: 1_000, backoffCoefficient: 2, maximumInterval: 60_000 },
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

  /** @throws TemporalAwayError, like the two below: whether it was let in is unknown; ask again under its id. */
  switchTo(lock: string, region: string, request: SwitchTo): Promise<Answer<SwitchOutcome>> {
    return this.update(lock, region, switchToUpdate, request, `switch-${request.switchId}`);
  }

  abortSwitch(lock: string, region: string, request: AbortSwitch): Promise<Answer<SwitchOutcome>> {
    return this.update(lock, region, abortSwitchUpdate, request, `abort-${request.switchId}`);
  }

  approve(lock: string, region: string, approval: Approval): Promise<Answer<{ why: string }>> {
    return this.update(lock, region, approveUpdate, approval, `approve-${randomUUID()}`);
  }

  force(lock: string, region: string, force: Force): Promise<Answer<ForceOutcome>> {
    return this.update(lock, region, forceUpdate, force, `force-${force.switchId}`);
  }

  mark(lock: string, region: string, mark: Mark): Promise<Answer<MarkResult>> {
    const { kind, ...marking } = mark;
    return this.update(lock, region, markUpdate(kind), marking, `${kind}-${randomUUID()}`);
  }

  preflight(lock: string, region: string, question: PreflightQuestion): Promise<Answer<PreflightReport>> {
    return this.update(lock, region, preflightUpdate, question, `preflight-${randomUUID()}`);
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

  /** @throws TemporalAwayError naming the key, when what was last written of the workflow is encrypted with one that is missing here. */
  async checkReadable(lock: string, region: string): Promise<void> {
    try {
      await this.bounded(() => checkReadable(this.client, regionWorkflowId(lock, region)));
    } catch (error) {
      throw new TemporalAwayError(this.address, error);
    }
  }

  async ping(): Promise<void> {
    try {
      await this.bounded(async () => {
        await this.client.connection.workflowService.getSystemInfo({});
      });
    } catch (error) {
      throw new TemporalAwayError(this.address, error);
    }
  }

  async exportHistories(folder: string, isWanted: IsWanted): Promise<SavedHistory[]> {
    try {
      return await exportHistories(this.client, folder, isWanted);
    } catch (error) {
      // A full disk is no outage of Temporal.
      if (error instanceof Error && 'syscall' in error && 'path' in error) throw error;
      throw new TemporalAwayError(this.address, error);
    }
  }

  podReady(lock: string, region: string, ready: PodReady): Promise<Delivery> {
    return this.deliver(lock, region, podReadySignal.name, ready);
  }

  regionSettings(lock: LockSettings, region: string, pod: string): Promise<Delivery> {
    const change: RegionSettingsChange = { pod, settings: workflowSettings(lock) };
    return this.deliver(lock.name, region, regionSettingsSignal.name, change);
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

  /** `updateId`: within a run the server answers the same id once, however often it is asked. */
  private async update<T, A extends object>(
    lock: string,
    region: string,
    update: UpdateDefinition<T, [A]>,
    argument: A,
    updateId: string,
  ): Promise<Answer<T>> {
    const handle = this.handle(lock, region);
    const notAfter = Date.now() + updateLimitMs + clockDifferenceMs;
    try {
      const answer = await this.client.withDeadline(Date.now() + updateLimitMs, () =>
        handle.executeUpdate(update, { args: [{ ...argument, notAfter }], updateId }),
      );
      return { outcome: 'answered', answer };
    } catch (error) {
      if (isGone(error)) return { outcome: 'not-running' };
      if (error instanceof WorkflowUpdateRPCTimeoutOrCancelledError || isTaskFailure(error))
        return { outcome: 'ask-again' };
      if (!(error instanceof WorkflowUpdateFailedError)) throw new TemporalAwayError(this.address, error);
      const { cause } = error;
      if (cause instanceof ApplicationFailure && cause.type === askAgain) return { outcome: 'ask-again' };
      return { outcome: 'turned-down', why: cause?.message ?? error.message };
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

/** The workflow task with the update was thrown away: a signal came in while the run continued as new. */
const isTaskFailure = (error: unknown): boolean =>
  /workflow task (failure|in failed state)/i.test(reasonOf(error));

/** A missing namespace is an error of its own; what else is not found must be said of a workflow. */
const isGone = (error: unknown): boolean =>
  error instanceof WorkflowNotFoundError && /workflow/i.test(error.message);

/** The part of a lock's settings that its region workflows go by. */
function workflowSettings(lock: LockSettings): RegionSettingsChange['settings'] {
  const { beatMs, drainLimitMs, historyLimit, minSwitchIntervalMs, approvalWithinMs } = lock;
  const hooks = lock.hooks.map(({ name, at, timeoutMs, onFailure }) => ({ name, at, timeoutMs, onFailure }));
  return {
    beatMs,
    drainLimitMs,
    historyLimit,
    minSwitchIntervalMs,
    ...(approvalWithinMs > 0 && { approvalWithinMs }),
    ...(hooks.length > 0 && { hooks }),
  };
}
