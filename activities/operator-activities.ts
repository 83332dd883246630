import { ApplicationFailure } from '@temporalio/activity';
import type { OperatorActivities } from '../workflows/operations-contract';
import { withHeartbeat } from './heartbeat';
import type { OperatorPort } from './ports';

const heartbeatMs = 2_000;

/** What a pod does for scheduled switches, drills and groups; any pod of the region whose queue they run on. */
export function createOperatorActivities(operator: OperatorPort): OperatorActivities {
  return {
    switchLock: (order) => answer(() => operator.switchLock(order)),
    whyNotSwitch: (question) => answer(() => operator.whyNotSwitch(question)),
    activeRegion: (question) => answer(() => operator.activeRegion(question)),
    awaitElsewhere: (question) => answer((signal) => operator.awaitElsewhere(question, signal)),
    crashTarget: (question) => answer(() => operator.crashTarget(question)),
    awaitRecovery: (question) => answer((signal) => operator.awaitRecovery(question, signal)),
  };
}

async function answer<T>(call: (signal: AbortSignal) => Promise<T>): Promise<T> {
  try {
    return await withHeartbeat(heartbeatMs, call);
  } catch (error) {
    const { name, message } = error as Error;
    if (name !== 'UnknownNameError') throw error;
    // A lock or a region that this pod's configuration does not have: asking again changes nothing.
    throw ApplicationFailure.create({ message, type: name, nonRetryable: true });
  }
}
