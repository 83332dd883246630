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
  error instanceof Error && expected.includes(error.name);
