import { WorkflowsAwayError } from '../client/region-workflows';

/** Temporal did not answer in time, or refused. What was asked may or may not have been done. */
export class TemporalAwayError extends WorkflowsAwayError {
  constructor(address: string, cause: unknown) {
    super(
      `Temporal at ${address} does not answer: ${reasonOf(cause)} (setting temporal.address, variable BATON_TEMPORAL_ADDRESS or TEMPORAL_ADDRESS)`,
      { cause },
    );
  }
}

/** The innermost reason: the SDK wraps a server's answer in sentences of its own. */
export function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { details } = error as { details?: unknown };
  if (typeof details === 'string' && details !== '') return details;
  return error.cause === undefined ? error.message : reasonOf(error.cause);
}
