import { ApplicationFailure } from '@temporalio/activity';
import type { OperatorActivities } from '../workflows/operations-contract';
import { RefusedError } from './errors';
import { withHeartbeat } from './heartbeat';
import { checkInstruction } from './instruction-check';
import type { OperatorPort } from './ports';

const heartbeatMs = 2_000;

/** What a pod does for scheduled switches, drills and groups; any pod of the region whose queue they run on. */
export function createOperatorActivities(operator: OperatorPort): OperatorActivities {
  return {
    switchLock: (order) => answer('switchLock', order, () => operator.switchLock(order)),
    whyNotSwitch: (question) => answer('whyNotSwitch', question, () => operator.whyNotSwitch(question)),
    activeRegion: (question) => answer('activeRegion', question, () => operator.activeRegion(question)),
    awaitElsewhere: (question) =>
      answer('awaitElsewhere', question, (signal) => operator.awaitElsewhere(question, signal)),
    crashTarget: (question) => answer('crashTarget', question, () => operator.crashTarget(question)),
    awaitRecovery: (question) =>
      answer('awaitRecovery', question, (signal) => operator.awaitRecovery(question, signal)),
  };
}

async function answer<T>(
  activity: keyof OperatorActivities,
  input: unknown,
  call: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  try {
    checkInstruction(activity, input);
    return await withHeartbeat(heartbeatMs, call);
  } catch (error) {
    const { name, message } = error as Error;
    if (name !== 'UnknownNameError' && !(error instanceof RefusedError)) throw error;
    // Malformed, or a lock or a region that this pod's configuration does not have: asking again changes nothing.
    throw ApplicationFailure.create({ message, type: name, nonRetryable: true });
  }
}
