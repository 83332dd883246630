import type { StepRecord } from '../../workflows/contract';

/** A lock or region that the configuration does not have. Nothing was asked for. */
export class UnknownNameError extends Error {
  override readonly name = 'UnknownNameError';
}

/** The switch did not happen, and by this request it never will. */
export class NotSwitchedError extends Error {
  override readonly name = 'NotSwitchedError';

  constructor(
    message: string,
    readonly switchId: string,
    /** How far it came, oldest first. */
    readonly steps: StepRecord[],
  ) {
    super(message);
  }
}

/**
 * The outcome was not known in time, and may still come: of a switch while etcd does not answer, of an abort, or of a
 * lock that was forced from its holder and not taken over yet; or a drill or a group was terminated. `history` shows what
 * has happened, under the id.
 */
export class UnsettledError extends Error {
  override readonly name = 'UnsettledError';

  constructor(
    message: string,
    readonly switchId: string,
  ) {
    super(message);
  }
}

/** The workflow, or every one that could be asked, turned the request down. Nothing was changed. */
export class TurnedDownError extends Error {
  override readonly name = 'TurnedDownError';
}
