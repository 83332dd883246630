import {
  ActivityCancellationType,
  ActivityFailure,
  ApplicationFailure,
  type ActivityOptions,
  proxyActivities,
  TimeoutFailure,
} from '@temporalio/workflow';
import type { PodActivities } from './contract';
import type { NoAnswer, PodAddress } from './region-event';
import type { TraceContext } from './trace-context';

/** Without it a dead pod's activity is retried for ever, and the workflow never hears of it. */
const once = { retry: { maximumAttempts: 1 }, cancellationType: ActivityCancellationType.TRY_CANCEL };

/** A pod that has not taken a question up after two seconds is dead, frozen or cut off. */
const short = { ...once, scheduleToStartTimeout: 2_000 };

/** How long the workflow waits for the successor's first message; a quiet queue has none. */
export const successorWaitMs = 5_000;

/**
 * One pod's activities, each with its own time limits; `limitMs` is a drain's or a hook's. `summary` is what the
 * Temporal UI shows in its row; `trace` travels with the input.
 */
export function callPod(
  { queue }: PodAddress,
  summary: string,
  limitMs = 0,
  trace?: TraceContext,
): PodActivities {
  const traced = <T extends object>(input: T): T => (trace ? { ...input, trace } : input);
  const on = (kind: 'stand' | 'do', options: ActivityOptions): PodActivities =>
    proxyActivities<PodActivities>({ ...options, taskQueue: `${queue}/${kind}`, summary });
  const quick = on('do', { ...short, startToCloseTimeout: 3_000 });
  return {
    awaitTenure: (input) =>
      on('stand', {
        ...once,
        scheduleToStartTimeout: 5_000,
        startToCloseTimeout: 360_000,
        // Most of what a lock asks of Temporal. Who takes over does not depend on it: etcd says who is there.
        heartbeatTimeout: 20_000,
      }).awaitTenure(input),
    standDown: (input) => quick.standDown(input),
    startListener: (input) => quick.startListener(input),
    renewLease: (input) => on('do', { ...short, startToCloseTimeout: 2_000 }).renewLease(input),
    // ABANDON: a drain is never ended by cancelling it, only by its own limit or an abort in etcd.
    drainAndHandOver: (input) =>
      on('do', {
        ...short,
        startToCloseTimeout: limitMs + 5_000,
        heartbeatTimeout: 5_000,
        cancellationType: ActivityCancellationType.ABANDON,
      }).drainAndHandOver(traced(input)),
    releaseLock: (input) => quick.releaseLock(input),
    abortSwitch: (input) => quick.abortSwitch(traced(input)),
    // On top of etcd's answers, the broker has two seconds.
    force: (input) => on('do', { ...short, startToCloseTimeout: 6_000 }).force(input),
    crash: (input) => quick.crash(input),
    mark: (input) => quick.mark(input),
    inspectLock: (input) => quick.inspectLock(traced(input)),
    probe: (input) => quick.probe(traced(input)),
    awaitSuccessor: (input) =>
      on('do', { ...short, startToCloseTimeout: successorWaitMs + 3_000 }).awaitSuccessor(traced(input)),
    runHook: (input) =>
      on('do', { ...short, startToCloseTimeout: limitMs + 5_000, heartbeatTimeout: 5_000 }).runHook(
        traced(input),
      ),
  };
}

/** Asks one pod after the other. @throws Error that names every pod and its reason, when none answers. */
export async function firstAnswer<T>(pods: PodAddress[], ask: (pod: PodAddress) => Promise<T>): Promise<T> {
  const reasons: string[] = [];
  for (const pod of pods) {
    try {
      return await ask(pod);
    } catch (error) {
      reasons.push(`${pod.pod}: ${noAnswer(error).why}`);
    }
  }
  throw new Error(reasons.join('; ') || 'no pod is known that could be asked');
}

/** Tells a pod that did not answer from one that answered with an error. */
export function noAnswer(error: unknown): { no: NoAnswer; why: string } {
  const cause = error instanceof ActivityFailure ? error.cause : error;
  if (cause instanceof TimeoutFailure)
    return { no: 'silent', why: timeoutText[cause.timeoutType ?? ''] ?? 'no answer' };
  if (cause instanceof ApplicationFailure)
    return { no: cause.type === 'Refused' ? 'refused' : 'failed', why: cause.message };
  return { no: 'failed', why: cause instanceof Error ? cause.message : String(cause) };
}

/** Whether a pod that gave no answer had begun with what it was asked for. */
export const wasTakenUp = (error: unknown): boolean =>
  error instanceof ActivityFailure &&
  error.cause instanceof TimeoutFailure &&
  error.cause.timeoutType !== 'SCHEDULE_TO_START';

const timeoutText: Partial<Record<string, string>> = {
  SCHEDULE_TO_START: 'not taken up in time',
  START_TO_CLOSE: 'taken up, but not finished in time',
  HEARTBEAT: 'taken up, then no sign of life',
};
