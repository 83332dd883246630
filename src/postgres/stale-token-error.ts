/**
 * The store has seen a higher token for the lock: another tenure has written since, and this one is over. Nothing was
 * written. A handler lets it pass: its message is delivered again, to whoever holds the lock now.
 */
export class StaleTokenError extends Error {
  override readonly name = 'StaleTokenError';
  readonly code = 'STALE_TOKEN';

  constructor(
    readonly lock: string,
    /** The one that was refused. */
    readonly token: number,
    /** The highest that the store has seen. */
    readonly highest: number,
  ) {
    super(
      `token ${token} of lock ${lock} is stale: the store has seen token ${highest}; nothing was written`,
    );
  }
}
