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

/** Whether the switch happened is decided in etcd, which does not answer; it says so when it is back, by the id. */
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
