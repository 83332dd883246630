import {
  type InjectedSinks,
  type NativeConnection,
  Worker,
  type WorkerOptions,
  type WorkflowBundleOption,
} from '@temporalio/worker';
import type { Logger } from 'pino';
import { createOperatorActivities } from '../../activities/operator-activities';
import { createPodActivities } from '../../activities/pod-activities';
import type { OperatorPort, PodPort } from '../../activities/ports';
import { regionTaskQueue } from '../../workflows/contract';
import type { DrillReport, DrillSinks } from '../../workflows/operations-contract';
import type { Config } from '../config/config';
import { version } from '../version';
import { namespaceOf } from './connection';
import type { TraceSinks } from '../../workflows/contract';
import { noTracing, type Tracing } from '../telemetry/tracing';
import { activityInterceptors, traceSinks } from './activity-tracing';
import { installRuntime, type RegionDecision } from './sdk-logger';
import { openSdkMetrics } from './sdk-metrics';
import { connectWorkers } from './worker-connection';
import { dataConverterOf } from './data-converter';
import { sealedWorkflowBundle, workflowBundlePath } from './workflow-bundle';

export interface WorkersOptions extends WorkflowNews {
  config: Config;
  region: string;
  /** Base name of the pod's two task queues. */
  queue: string;
  pod: PodPort;
  /** For scheduled switches, drills and groups on the region's queue. */
  operator: OperatorPort;
  logger: Logger;
  /** Default: none. */
  tracing?: Tracing;
}

/** What the workflows that run in this pod tell of themselves. Default: nothing is done. */
export interface WorkflowNews {
  /** Of each drill that ends. */
  onDrillEnded?: (report: DrillReport) => void;
  /** Of each decision of a region workflow. */
  onDecision?: (decision: RegionDecision) => void;
}

export interface RunningWorkers {
  /** Resolves when they have all stopped: `null` after `shutdown`, else with what the first one failed of. */
  ended: Promise<Error | null>;
  /** Goes on over a new connection, with the certificates that are on the disk now. @throws TemporalAwayError; then the old one stays. */
  reconnect(): Promise<void>;
  /** For all requests from now on. */
  setApiKey(apiKey: string): Promise<void>;
  /** Idempotent; returns after five seconds at most. What is running by then is cut off, as unknown. */
  shutdown(): Promise<void>;
}

/** Activities are told of the shutdown after this, and given up after the second. */
const shutdownGraceMs = 1_000;
const shutdownForceMs = 3_000;
/**
 * The SDK ends a call into workflow code after five seconds, time in which the process was frozen included, and Node aborts
 * the whole process when it does. Baton's own workflow code has no loop without an end. Not in the SDK's published options:
 * a test sees that it counts.
 */
const unlimitedCalls = { isolateExecutionTimeout: 2 ** 31 - 1 };
const shutdownLimitMs = 5_000;

/**
 * A pod's three workers: the region's workflows, its own `stand` queue and its own `do` queue. They survive an
 * outage of Temporal; what the server refuses for good (a namespace that is gone) ends them all.
 * @throws TemporalAwayError when Temporal cannot be reached at the start.
 */
export async function runWorkers(options: WorkersOptions): Promise<RunningWorkers> {
  installRuntime(options.logger, await openSdkMetrics(), options.onDecision);
  const connection = await connectWorkers(options.config);
  try {
    return run(await createWorkers(options, connection), connection, options.config);
  } catch (error) {
    await connection.close();
    throw error;
  }
}

async function createWorkers(
  {
    config,
    region,
    queue,
    pod,
    operator,
    logger,
    tracing = noTracing,
    onDrillEnded = () => {},
  }: WorkersOptions,
  connection: NativeConnection,
): Promise<Worker[]> {
  const common = {
    connection,
    namespace: namespaceOf(config),
    shutdownGraceTime: shutdownGraceMs,
    shutdownForceTime: shutdownForceMs,
    dataConverter: dataConverterOf(config.temporal, ({ message }) =>
      logger.error({ reason: message }, 'what Temporal holds cannot be read here; the locks go on'),
    ),
    interceptors: activityInterceptors(tracing),
  } satisfies Partial<WorkerOptions>;
  const activities = createPodActivities(pod);
  const sinks: InjectedSinks<DrillSinks & TraceSinks> = {
    drill: { ended: { fn: (_, report) => onDrillEnded(report) } },
    ...traceSinks(tracing),
  };
  return Promise.all([
    Worker.create({
      ...common,
      taskQueue: regionTaskQueue(region),
      activities: createOperatorActivities(operator),
      // Seldom used, and then by a group of locks at once.
      maxConcurrentActivityTaskPolls: 1,
      maxConcurrentActivityTaskExecutions: 50,
      workflowBundle: workflowBundleFor(config),
      sinks,
      ...deploymentOf(config),
      reuseV8Context: true,
      ...unlimitedCalls,
      // Its tasks would fail for ever, and nobody could switch: the run ends instead, and the server begins another one.
      workflowFailureErrorTypes: { '*': [], regionWorkflow: ['NondeterminismError'] },
      // A killed pod's workflows wait so long before another pod takes them; ten seconds by default.
      stickyQueueScheduleToStartTimeout: 1_000,
    }),
    Worker.create({
      ...common,
      taskQueue: `${queue}/stand`,
      activities,
      // One waits for each lock; while a workflow continues as new two do.
      maxConcurrentActivityTaskExecutions: 2 * config.locks.length + 10,
      maxHeartbeatThrottleInterval: 6_000,
    }),
    Worker.create({ ...common, taskQueue: `${queue}/do`, activities, maxHeartbeatThrottleInterval: 3_000 }),
  ]);
}

/**
 * Of the worker that runs workflows; the pods' own queues carry activities alone. A region workflow lives for ever, so it
 * goes on with the version that is current (its code is tested on recorded histories); pinned to one, it would stand still
 * when the last pod of that version has gone.
 */
function deploymentOf({ temporal: { deployment } }: Config): Pick<WorkerOptions, 'workerDeploymentOptions'> {
  if (deployment === undefined) return {};
  return {
    workerDeploymentOptions: {
      version: { deploymentName: deployment, buildId: version },
      useWorkerVersioning: true,
      defaultVersioningBehavior: 'AUTO_UPGRADE',
    },
  };
}

const workflowBundleFor = ({ temporal }: Config): WorkflowBundleOption =>
  temporal.encryption?.keyId === undefined
    ? { codePath: workflowBundlePath }
    : { code: sealedWorkflowBundle() };

function run(workers: Worker[], first: NativeConnection, config: Config): RunningWorkers {
  let connection = first;
  let failure: Error | null = null;
  let stopping = false;
  const stopAll = (): void => {
    stopping = true;
    for (const worker of workers) if (worker.getState() === 'RUNNING') worker.shutdown();
  };
  const runs = workers.map(async (worker) => {
    try {
      await worker.run();
      if (!stopping) failure ??= new Error('a Temporal worker stopped by itself');
    } catch (error) {
      failure ??= error instanceof Error ? error : new Error(String(error));
    }
    // The first that ends stops the rest: a pod with half its queues looks alive and is not.
    stopAll();
  });
  const ended = Promise.all(runs).then(async () => {
    await connection.close();
    return failure;
  });
  return {
    ended,
    async reconnect() {
      const next = await connectWorkers(config);
      // A worker that has stopped meanwhile keeps the connection that it ends with.
      if (stopping) return next.close();
      const old = connection;
      connection = next;
      for (const worker of workers) worker.connection = next;
      await old.close();
    },
    setApiKey: (apiKey) => connection.setApiKey(apiKey),
    async shutdown() {
      stopAll();
      let timer: NodeJS.Timeout | undefined;
      const limit = new Promise((resolve) => {
        timer = setTimeout(resolve, shutdownLimitMs);
      });
      await Promise.race([ended, limit]);
      clearTimeout(timer);
    },
  };
}
