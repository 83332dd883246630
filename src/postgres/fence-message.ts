import { fenceNames, type FenceSchema } from './fence-tables';
import { StaleTokenError } from './stale-token-error';

/** A client of `pg`, or anything else whose `query` takes SQL with `$1` and answers with rows. */
export interface FenceClient {
  query(
    text: string,
    values?: unknown[],
  ): Promise<{ rows: unknown[]; rowCount: number | null; command?: string }>;
}

export interface FencedMessage extends FenceSchema {
  /** `context.lock`. */
  lock: string;
  /** `context.token`. */
  token: number;
  /** Of the message, and the same when it is delivered again: `message.messageId`, or what else identifies it. */
  messageId: string;
}

/** Each turn of the loop means that somebody else has raised the fence, or made its row, in between. */
const maxTurns = 5;

/**
 * For a transaction of your own, as its first statements: refuses a token lower than the highest seen for the lock,
 * and notes the message in the inbox. Must run inside a transaction at READ COMMITTED (PostgreSQL's default): what it
 * guarantees holds from its answer to the transaction's end.
 *
 * - `new`: go on. Until the transaction ends, no higher token gets past the fence; it waits.
 * - `duplicate`: the message was worked on already, and committed. Write nothing, and acknowledge it.
 *
 * Transactions of one tenure do not wait for each other: they share the fence's row. Only what a new tenure does first
 * waits, once, for the transactions of the one before.
 *
 * @throws StaleTokenError for a lower token; the transaction must be rolled back.
 * @throws TypeError for a message without an id, or a token that is none.
 */
export async function fenceMessage(
  client: FenceClient,
  message: FencedMessage,
): Promise<'new' | 'duplicate'> {
  check(message);
  const { lock, token, messageId } = message;
  const { fence, inbox } = fenceNames(message);
  await passFence(client, fence, lock, token);
  // Waits for a transaction that has the same message in hand; if that is rolled back, this one has it.
  const { rowCount } = await client.query(
    `INSERT INTO ${inbox} (lock, message_id, token) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`,
    [lock, messageId, String(token)],
  );
  return rowCount === 1 ? 'new' : 'duplicate';
}

async function passFence(client: FenceClient, fence: string, lock: string, token: number): Promise<void> {
  const values = [lock, String(token)];
  for (let turn = 1; turn <= maxTurns; turn += 1) {
    // A row that does not match is not locked: two first transactions of a tenure cannot block each other here.
    const { rows } = await client.query(
      `SELECT token FROM ${fence} WHERE lock = $1 AND token >= $2 FOR SHARE`,
      values,
    );
    const [row] = rows as { token: string | number | bigint }[];
    if (row) {
      const highest = Number(row.token);
      if (highest === token) return;
      throw new StaleTokenError(lock, token, highest);
    }
    // Not an upsert: that would lock the row exclusively also where another transaction has just raised it.
    const raised = await client.query(
      `UPDATE ${fence} SET token = $2, raised_at = now() WHERE lock = $1 AND token < $2`,
      values,
    );
    if (raised.rowCount === 1) return;
    const made = await client.query(
      `INSERT INTO ${fence} (lock, token) VALUES ($1, $2) ON CONFLICT DO NOTHING`,
      values,
    );
    if (made.rowCount === 1) return;
  }
  throw new Error(
    `the fence of lock ${lock} was changed ${maxTurns} times while token ${token} asked for it`,
  );
}

function check({ lock, token, messageId }: FencedMessage): void {
  if (typeof lock !== 'string' || lock === '') throw new TypeError('lock must be given: context.lock');
  if (!Number.isSafeInteger(token) || token <= 0)
    throw new TypeError(`token is ${String(token)}: must be a whole number above 0: context.token`);
  if (typeof messageId !== 'string' || messageId === '')
    throw new TypeError('messageId must be given: without an id a redelivered message cannot be known again');
}
