import type { GracefulSwitch, RegionStatus } from '../../workflows/contract';

/**
 * The region workflows as a command sees them. Every call is bounded in time and throws `WorkflowsAwayError`
 * when Temporal did not answer; whether a signal was delivered is then unknown, and it may be sent again.
 */
export interface RegionWorkflows {
  start(lock: string, region: string): Promise<'started' | 'already-running'>;
  gracefulSwitch(lock: string, region: string, request: GracefulSwitch): Promise<'delivered' | 'not-running'>;
  /** `not-running`: closed, or never started. */
  status(lock: string, region: string): Promise<RegionStatus | 'not-running'>;
  close(): Promise<void>;
}

/** Temporal, or the worker that should answer a query, did not answer. The message names the server's address. */
export class WorkflowsAwayError extends Error {
  override readonly name = 'WorkflowsAwayError';
}
