import { type ActivityOptions, proxyActivities, uuid4 } from '@temporalio/workflow';
import type { OperatorActivities, SwitchOrder, SwitchReport } from './operations-contract';

/**
 * Each may be repeated, and is until there is an answer: half of a group that has moved must not be left alone because
 * no pod of the region was there for a while.
 */
const persistent: ActivityOptions = {
  startToCloseTimeout: '15 minutes',
  heartbeatTimeout: '10 seconds',
  retry: { maximumInterval: '30 seconds' },
};

export const operator = proxyActivities<OperatorActivities>(persistent);

/** `summary` is what the Temporal UI shows in its row. */
export const operatorFor = (summary: string): OperatorActivities =>
  proxyActivities<OperatorActivities>({ ...persistent, summary: summary.slice(0, 200) });

export const switchNow = (order: SwitchOrder): Promise<SwitchReport> =>
  operator.switchLock({ ...order, switchId: uuid4() });

export const moved = ({ outcome }: SwitchReport): boolean => outcome !== 'not-done';
