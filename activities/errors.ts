/** One class per decision that the caller has to take; the original error is in `cause`. */
export class BatonError extends Error {
  constructor(
    readonly code: 'REFUSED' | 'UNKNOWN' | 'LOST',
    message: string,
    cause?: unknown,
  ) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = new.target.name;
  }
}

/** The request was understood and turned down; nothing was changed. */
export class RefusedError extends BatonError {
  constructor(message: string, cause?: unknown) {
    super('REFUSED', message, cause);
  }
}

/**
 * The server does not let us in, or not do this: a wrong password, a missing permission, a certificate that one of the
 * two does not accept. Nothing was changed. Whoever runs the server can end it at any time, so it may pass.
 */
export class AccessError extends RefusedError {}

/** No answer: the request may or may not have been applied. Settle it by a conflicting write, never by a read. */
export class UnknownOutcomeError extends BatonError {
  constructor(message: string, cause?: unknown) {
    super('UNKNOWN', message, cause);
  }
}

/** The lease or the tenure is gone for good. */
export class LostError extends BatonError {
  constructor(message: string, cause?: unknown) {
    super('LOST', message, cause);
  }
}

/** Asked again, it may work: when the server answers, or lets us in. */
export const mayPass = (error: unknown): error is UnknownOutcomeError | AccessError =>
  error instanceof UnknownOutcomeError || error instanceof AccessError;
