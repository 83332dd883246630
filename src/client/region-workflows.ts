import type {
  AbortSwitch,
  Approval,
  Force,
  ForceOutcome,
  Mark,
  MarkResult,
  PreflightQuestion,
  PreflightReport,
  RegionStatus,
  SwitchOutcome,
  SwitchTo,
} from '../../workflows/contract';

import type { Operations } from './operations';

export interface SavedHistory {
  workflowId: string;
  runId: string;
  events: number;
  file: string;
}

/** What came of an update. */
export type Answer<T> =
  | { outcome: 'answered'; answer: T }
  /** By the workflow, before or after it was let in; nothing was changed. */
  | { outcome: 'turned-down'; why: string }
  | { outcome: 'not-running' }
  /** No answer yet, or the run that should give it has ended: the same question again finds it. */
  | { outcome: 'ask-again' };

export function noAnswerText(answer: Exclude<Answer<unknown>, { outcome: 'answered' }>): string {
  if (answer.outcome === 'turned-down') return answer.why;
  return answer.outcome === 'not-running'
    ? 'its workflow is not running'
    : 'its workflow gave no answer in time';
}

/**
 * The region workflows as a command sees them. Every call is bounded in time and throws `WorkflowsAwayError`
 * when Temporal did not answer; whether a signal was delivered is then unknown, and it may be sent again.
 */
export interface RegionWorkflows {
  start(lock: string, region: string): Promise<'started' | 'already-running'>;
  /** Waits for the outcome some seconds; asked again under the same switch id it goes on waiting. */
  switchTo(lock: string, region: string, request: SwitchTo): Promise<Answer<SwitchOutcome>>;
  abortSwitch(lock: string, region: string, request: AbortSwitch): Promise<Answer<SwitchOutcome>>;
  /** Answers a switch that waits for an approval. */
  approve(lock: string, region: string, approval: Approval): Promise<Answer<{ why: string }>>;
  /** Takes the lock from a holder that does not answer. Idempotent under its switch id. */
  force(lock: string, region: string, force: Force): Promise<Answer<ForceOutcome>>;
  /** Sets or takes away an operator's mark, in etcd. Idempotent. */
  mark(lock: string, region: string, mark: Mark): Promise<Answer<MarkResult>>;
  /** Runs every preflight check and changes nothing. */
  preflight(lock: string, region: string, question: PreflightQuestion): Promise<Answer<PreflightReport>>;
  /** `not-running`: closed, or never started. */
  status(lock: string, region: string): Promise<RegionStatus | 'not-running'>;
  /** Asks the server itself, and no pod. @throws WorkflowsAwayError */
  ping(): Promise<void>;
  /** Saves the history of every run that is wanted by its workflow's id, or a group's by its locks, one file each. */
  exportHistories(
    folder: string,
    isWanted: (workflowId: string, locks: string[]) => boolean,
  ): Promise<SavedHistory[]>;
  /** Drills, groups and schedules. */
  readonly operations: Operations;
  close(): Promise<void>;
}

/** Temporal, or the worker that should answer a query, did not answer. The message names the server's address. */
export class WorkflowsAwayError extends Error {
  override readonly name = 'WorkflowsAwayError';

  constructor(
    message: string,
    options?: ErrorOptions,
    /** It does not let us in: a key, a permission, or a certificate that one side does not accept. */
    readonly denied = false,
  ) {
    super(message, options);
  }
}
