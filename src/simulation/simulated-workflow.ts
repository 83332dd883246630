import type { SimulatedProcess } from './simulated-process';
import { presentWorld } from './world';

/** Ends a run; the next one begins with `input`. */
export class ContinuedAsNew extends Error {
  constructor(readonly input: unknown) {
    super('continued as new');
  }
}

export interface ActivityOptions {
  taskQueue: string;
  scheduleToStartTimeout: number;
  startToCloseTimeout: number;
  heartbeatTimeout?: number;
}

/** What a workflow's code asks of its server. */
export interface WorkflowPort {
  readonly process: SimulatedProcess;
  readonly handlers: Map<string, (payload: unknown) => unknown>;
  readonly conditions: Set<() => void>;
  conditionsMet: number;
  readonly info: {
    runStartTime: Date;
    attempt: number;
    historyLength: number;
    continueAsNewSuggested: boolean;
    continuedFromExecutionRunId?: string;
  };
  execute(activity: string, input: unknown, options: ActivityOptions): Promise<unknown>;
}

function present(): WorkflowPort {
  const workflow = presentWorld().current?.services.workflow as WorkflowPort | undefined;
  if (!workflow) throw new Error('a workflow function was called outside of a workflow');
  return workflow;
}

/** In the place of `@temporalio/workflow`, whose real functions work in its sandbox only. */
export const workflowFunctions = {
  proxyActivities: (options: ActivityOptions) =>
    new Proxy(
      {},
      { get: (_target, name: string) => (input: unknown) => present().execute(name, input, options) },
    ),
  sleep: (ms: number) => new Promise((resolve) => setTimeout(resolve, ms)),
  condition: (holds: () => boolean, timeoutMs?: number) => {
    const workflow = present();
    const { conditions } = workflow;
    return new Promise<boolean>((resolve) => {
      const end = (outcome: boolean): void => {
        workflow.conditionsMet += 1;
        conditions.delete(look);
        clearTimeout(timer);
        resolve(outcome);
      };
      const look = (): void => {
        if (holds()) end(true);
      };
      const timer = timeoutMs === undefined ? undefined : setTimeout(() => end(false), timeoutMs);
      conditions.add(look);
      look();
    });
  },
  setHandler: ({ name }: { name: string }, handler: (payload: unknown) => unknown) => {
    present().handlers.set(name, handler);
  },
  workflowInfo: () => present().info,
  uuid4: () => presentWorld().uuid(),
  continueAsNew: (input: unknown) => Promise.reject(new ContinuedAsNew(input)),
  allHandlersFinished: () => true,
  setCurrentDetails: () => {},
  upsertSearchAttributes: () => {},
  log: {
    info: (what: string) => presentWorld().trace(present().process, what),
    debug: () => {},
    warn: () => {},
    error: () => {},
  },
};

export interface ActivityContext {
  heartbeat(): void;
  cancellationSignal: AbortSignal;
}

let begun: ActivityContext | null = null;

export function activityContext(): ActivityContext {
  if (!begun) throw new Error('Context.current() was called outside of an activity');
  return begun;
}

/** An activity asks for its context before it first waits. */
export function inActivity<T>(context: ActivityContext, begin: () => T): T {
  begun = context;
  try {
    return begin();
  } finally {
    begun = null;
  }
}
