import { ApplicationFailure, Context } from '@temporalio/activity';
import type { OperatorActivities } from '../workflows/operations-contract';

const heartbeatMs = 2_000;

/** What a pod does for scheduled switches, drills and groups; any pod of the region that is to become active. */
export function createOperatorActivities(operator: OperatorActivities): OperatorActivities {
  return {
    switchLock: (order) => withHeartbeat(() => operator.switchLock(order)),
    whyNotSwitch: (question) => withHeartbeat(() => operator.whyNotSwitch(question)),
    activeRegion: (question) => withHeartbeat(() => operator.activeRegion(question)),
  };
}

/** A pod that dies with one is noticed soon, and another one asks again. */
async function withHeartbeat<T>(work: () => Promise<T>): Promise<T> {
  const context = Context.current();
  const timer = setInterval(() => context.heartbeat(), heartbeatMs);
  try {
    return await work();
  } catch (error) {
    const { name, message } = error as Error;
    if (name !== 'UnknownNameError') throw error;
    // A lock or a region that this pod's configuration does not have: asking again changes nothing.
    throw ApplicationFailure.create({ message, type: name, nonRetryable: true });
  } finally {
    clearInterval(timer);
  }
}
