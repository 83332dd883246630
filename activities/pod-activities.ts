import { ApplicationFailure, CancelledFailure, Context } from '@temporalio/activity';
import type { PodActivities } from '../workflows/contract';
import { LostError, RefusedError, UnknownOutcomeError } from './errors';
import { withHeartbeat } from './heartbeat';
import type { PodPort } from './ports';

const awaitTenureHeartbeatMs = 2_000;
const drainHeartbeatMs = 1_000;
const hookHeartbeatMs = 1_000;

/**
 * What the region workflow may ask of this pod. Nothing is retried here: the workflow decides what to do about
 * an answer that did not come. An activity's end, however it comes, changes nothing in the pod.
 */
export function createPodActivities(pod: PodPort): PodActivities {
  return {
    awaitTenure: (input) =>
      answer(() => withHeartbeat(awaitTenureHeartbeatMs, (signal) => pod.awaitTenure(input, signal))),
    standDown: (input) => answer(() => pod.standDown(input)),
    startListener: (input) => answer(() => pod.startListener(input)),
    renewLease: (input) => answer(() => pod.renewLease(input)),
    // Without the signal: a drain ends by its own limit or an abort in etcd, never because nobody listens.
    drainAndHandOver: (input) =>
      answer(() => withHeartbeat(drainHeartbeatMs, () => pod.drainAndHandOver(input))),
    releaseLock: (input) => answer(() => pod.releaseLock(input)),
    abortSwitch: (input) => answer(() => pod.abortSwitch(input)),
    force: (input) => answer(() => pod.force(input)),
    crash: (input) => answer(() => pod.crash(input)),
    mark: (input) => answer(() => pod.mark(input)),
    inspectLock: (input) => answer(() => pod.inspectLock(input)),
    probe: (input) => answer(() => pod.probe(input)),
    awaitSuccessor: (input) => answer(() => pod.awaitSuccessor(input, Context.current().cancellationSignal)),
    runHook: (input) => answer(() => withHeartbeat(hookHeartbeatMs, () => pod.runHook(input))),
  };
}

/** The decision that the workflow has to take travels as the failure's type. */
async function answer<T>(call: () => Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (error) {
    if (error instanceof CancelledFailure || error instanceof ApplicationFailure) throw error;
    const cause = error instanceof Error ? error : new Error(String(error));
    throw ApplicationFailure.create({
      message: cause.message,
      type: typeOf(cause),
      nonRetryable: true,
      cause,
    });
  }
}

function typeOf(error: Error): 'Refused' | 'Unknown' | 'Lost' | 'Failed' {
  if (error instanceof RefusedError) return 'Refused';
  if (error instanceof UnknownOutcomeError) return 'Unknown';
  return error instanceof LostError ? 'Lost' : 'Failed';
}
