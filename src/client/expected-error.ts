const expected = [
  'WorkflowsAwayError',
  'TemporalAwayError',
  'UnknownOutcomeError',
  'RefusedError',
  'LostError',
  'NotSwitchedError',
  'UnsettledError',
  'TurnedDownError',
];

/** A server did not answer, or refused: the message is a sentence for an operator. */
export const isExpected = (error: unknown): error is Error =>
  error instanceof Error && expected.includes(error.name) && !isDenied(error);

/** A server does not let us in. It says so to every question, so the first answer ends the command. */
export const isDenied = (error: unknown): error is Error =>
  error instanceof Error && (error.name === 'AccessError' || (error as { denied?: unknown }).denied === true);
