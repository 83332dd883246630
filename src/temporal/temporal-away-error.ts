import { WorkflowsAwayError } from '../client/region-workflows';
import { MissingKeyError } from './key-ring';

/** UNAUTHENTICATED, PERMISSION_DENIED. */
const deniedCodes = [16, 7];

const where = ' (setting temporal.address, variable BATON_TEMPORAL_ADDRESS or TEMPORAL_ADDRESS)';

/**
 * Temporal did not answer in time, or refused. What was asked may or may not have been done; with `denied`, it was not.
 */
export class TemporalAwayError extends WorkflowsAwayError {
  /** `untrusted`: why there can be no secure connection. */
  constructor(address: string, cause: unknown, untrusted: string | null = null) {
    const unreadable = isUnreadable(cause);
    const denied = untrusted !== null || unreadable || isDenied(cause);
    const what = unreadable ? 'holds what cannot be read here' : denied ? 'refuses' : 'does not answer';
    super(
      `Temporal at ${address} ${what}: ${untrusted ?? reasonOf(cause)}${unreadable ? '' : where}`,
      { cause },
      denied,
    );
  }
}

function isUnreadable(error: unknown): boolean {
  return error instanceof Error && (error.name === MissingKeyError.name || isUnreadable(error.cause));
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
