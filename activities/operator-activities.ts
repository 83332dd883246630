import { ApplicationFailure } from '@temporalio/activity';
import type { OperatorActivities } from '../workflows/operations-contract';
import { withHeartbeat } from './heartbeat';

const heartbeatMs = 2_000;

/** What a pod does for scheduled switches, drills and groups; any pod of the region that is to become active. */
export function createOperatorActivities(operator: OperatorActivities): OperatorActivities {
  return {
    switchLock: (order) => answer(() => operator.switchLock(order)),
    whyNotSwitch: (question) => answer(() => operator.whyNotSwitch(question)),
    activeRegion: (question) => answer(() => operator.activeRegion(question)),
  };
}

async function answer<T>(call: () => Promise<T>): Promise<T> {
  try {
    return await withHeartbeat(heartbeatMs, call);
  } catch (error) {
    const { name, message } = error as Error;
    if (name !== 'UnknownNameError') throw error;
    // A lock or a region that this pod's configuration does not have: asking again changes nothing.
    throw ApplicationFailure.create({ message, type: name, nonRetryable: true });
  }
}
