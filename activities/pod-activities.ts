import { ApplicationFailure, CancelledFailure, Context } from '@temporalio/activity';
import type { PodActivities } from '../workflows/contract';
import { LostError, RefusedError, UnknownOutcomeError } from './errors';
import { withHeartbeat } from './heartbeat';
import { checkInstruction } from './instruction-check';
import type { PodPort } from './ports';

const awaitTenureHeartbeatMs = 5_000;
const drainHeartbeatMs = 1_000;
const hookHeartbeatMs = 1_000;

/**
 * What the region workflow may ask of this pod. Nothing is retried here: the workflow decides what to do about
 * an answer that did not come. An activity's end, however it comes, changes nothing in the pod.
 */
export function createPodActivities(pod: PodPort): PodActivities {
  return {
    awaitTenure: (input) =>
      answer('awaitTenure', input, () =>
        withHeartbeat(awaitTenureHeartbeatMs, (signal) => pod.awaitTenure(input, signal)),
      ),
    standDown: (input) => answer('standDown', input, () => pod.standDown(input)),
    startListener: (input) => answer('startListener', input, () => pod.startListener(input)),
    renewLease: (input) => answer('renewLease', input, () => pod.renewLease(input)),
    // Without the signal: a drain ends by its own limit or an abort in etcd, never because nobody listens.
    drainAndHandOver: (input) =>
      answer('drainAndHandOver', input, () =>
        withHeartbeat(drainHeartbeatMs, () => pod.drainAndHandOver(input)),
      ),
    releaseLock: (input) => answer('releaseLock', input, () => pod.releaseLock(input)),
    abortSwitch: (input) => answer('abortSwitch', input, () => pod.abortSwitch(input)),
    force: (input) => answer('force', input, () => pod.force(input)),
    crash: (input) => answer('crash', input, () => pod.crash(input)),
    mark: (input) => answer('mark', input, () => pod.mark(input)),
    inspectLock: (input) => answer('inspectLock', input, () => pod.inspectLock(input)),
    probe: (input) => answer('probe', input, () => pod.probe(input)),
    awaitSuccessor: (input) =>
      answer('awaitSuccessor', input, () => pod.awaitSuccessor(input, Context.current().cancellationSignal)),
    runHook: (input) =>
      answer('runHook', input, () => withHeartbeat(hookHeartbeatMs, () => pod.runHook(input))),
  };
}

/** The decision that the workflow has to take travels as the failure's type. */
async function answer<T>(name: keyof PodActivities, input: unknown, call: () => Promise<T>): Promise<T> {
  try {
    checkInstruction(name, input);
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
