import { WorkflowsAwayError } from '../client/region-workflows';

/** UNAUTHENTICATED, PERMISSION_DENIED. */
const deniedCodes = [16, 7];

/**
 * Temporal did not answer in time, or refused. What was asked may or may not have been done; with `denied`, it was not.
 */
export class TemporalAwayError extends WorkflowsAwayError {
  /** `untrusted`: why there can be no secure connection. */
  constructor(address: string, cause: unknown, untrusted: string | null = null) {
    const denied = untrusted !== null || isDenied(cause);
    const what = denied ? 'refuses' : 'does not answer';
    super(
      `Temporal at ${address} ${what}: ${untrusted ?? reasonOf(cause)} (setting temporal.address, variable BATON_TEMPORAL_ADDRESS or TEMPORAL_ADDRESS)`,
      { cause },
      denied,
    );
  }
}

function isDenied(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  return deniedCodes.includes(Number((error as { code?: unknown }).code)) || isDenied(error.cause);
}

/** The innermost reason: the SDK wraps a server's answer in sentences of its own. */
export function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { details } = error as { details?: unknown };
  if (typeof details === 'string' && details !== '') return details;
  return error.cause === undefined ? error.message : reasonOf(error.cause);
}
