import { type FenceClient, fenceMessage, type FencedMessage } from './fence-message';

/** What is used of a client of `pg`'s pool. */
export interface FencePoolClient extends FenceClient {
  /** With an error the connection is closed instead of going back. */
  release(error?: Error | boolean): void;
  on(event: 'error', listener: (error: Error) => void): unknown;
  off(event: 'error', listener: (error: Error) => void): unknown;
}

/** `pg`'s `Pool`. */
export interface FencePool<C extends FencePoolClient> {
  connect(): Promise<C>;
}

export interface FencedTransactionOptions extends FencedMessage {
  /**
   * ms. PostgreSQL ends a transaction whose client has said nothing for so long. It bounds how long a pod that is
   * frozen in its transaction can keep the next tenure waiting, so it must exceed the longest pause between two
   * queries of `work`. Default 10,000.
   */
  idleLimitMs?: number;
}

/** `duplicate`: the message had been worked on and committed before; `work` was not called. */
export type FencedOutcome<T> = { outcome: 'done'; value: T } | { outcome: 'duplicate' };

const defaultIdleLimitMs = 10_000;
const maxIdleLimitMs = 2_147_483_647;

/**
 * Runs `work` in a transaction that is committed only if no higher token has written under the lock, and only if the
 * message has not been worked on before. What `work` writes through the client that it gets happens exactly once per
 * message, however often it is delivered, and never after a later tenure's. The tables: `fenceTables`.
 *
 * When it rejects, nothing of it was written; except when the connection broke during the commit: then that is not
 * known, and the message's next delivery finds out.
 *
 * @throws StaleTokenError when the store has seen a higher token; `work` was not called.
 * @throws TypeError for a message without an id, a token that is none, or a limit out of bounds.
 * @throws whatever `work` throws, and the errors of `pg`.
 */
export async function fencedTransaction<C extends FencePoolClient, T>(
  pool: FencePool<C>,
  options: FencedTransactionOptions,
  work: (client: C) => Promise<T> | T,
): Promise<FencedOutcome<T>> {
  const { idleLimitMs = defaultIdleLimitMs } = options;
  if (!Number.isSafeInteger(idleLimitMs) || idleLimitMs < 1 || idleLimitMs > maxIdleLimitMs)
    throw new TypeError(
      `idleLimitMs is ${String(idleLimitMs)}: must be a whole number, 1 to ${maxIdleLimitMs}`,
    );
  const client = await pool.connect();
  let broken: Error | undefined;
  const noteBroken = (error: Error): void => {
    broken ??= error;
  };
  // PostgreSQL may end the connection at any time, and without a listener that would end the process.
  client.on('error', noteBroken);
  try {
    // One statement for the server's eyes: of a client that freezes here nothing is left open without the limit.
    await client.query(
      `BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL idle_in_transaction_session_timeout = ${idleLimitMs}`,
    );
    const outcome = await inTransaction(client, options, work);
    if (outcome.outcome === 'duplicate') await client.query('ROLLBACK');
    // After a failed statement whose error `work` has swallowed, PostgreSQL answers a COMMIT with a rollback.
    else if ((await client.query('COMMIT')).command === 'ROLLBACK')
      throw new Error('a statement of the transaction had failed, so nothing was committed');
    return outcome;
  } catch (error) {
    // What cannot be rolled back goes with its connection.
    await client.query('ROLLBACK').catch((failure: Error) => noteBroken(failure));
    throw error;
  } finally {
    client.off('error', noteBroken);
    client.release(broken);
  }
}

async function inTransaction<C extends FencePoolClient, T>(
  client: C,
  message: FencedMessage,
  work: (client: C) => Promise<T> | T,
): Promise<FencedOutcome<T>> {
  if ((await fenceMessage(client, message)) === 'duplicate') return { outcome: 'duplicate' };
  return { outcome: 'done', value: await work(client) };
}
