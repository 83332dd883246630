import { fencedTransaction, fenceTables, type FencePool, type FencePoolClient } from '../postgres';

/** A pool of `pg`, which this file does not load. */
export interface SinkPool extends FencePool<FencePoolClient> {
  query(text: string, values?: unknown[]): Promise<{ rows: unknown[] }>;
}

export interface Effect {
  lock: string;
  token: number;
  messageId: string;
  pod: string;
}

export interface EffectVerdict {
  effects: number;
  /** Message ids: published, and without an effect. */
  lost: string[];
  /** With more than one. */
  repeated: string[];
  /** With an effect that nobody published. */
  unknown: string[];
  /** Written after an effect of a higher token. */
  stale: string[];
}

/** Makes the sink's tables; may be called by several at once, and again. */
export async function prepareEffectSink(pool: SinkPool): Promise<void> {
  await pool.query(fenceTables());
  await pool.query(`DO $$ BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('baton effects'));
    CREATE TABLE IF NOT EXISTS effects (
      id bigserial PRIMARY KEY, lock text NOT NULL, token bigint NOT NULL, message_id text NOT NULL, pod text NOT NULL,
      written_at timestamptz NOT NULL DEFAULT clock_timestamp()
    );
  END $$`);
}

/** What a handler does to the store: one row. Nothing in the table itself keeps a row from coming twice, or late. */
export async function recordEffect(pool: SinkPool, effect: Effect): Promise<'done' | 'duplicate'> {
  const { outcome } = await fencedTransaction(pool, effect, (client) => insert(client, effect));
  return outcome;
}

/** The same without any check, for negative controls. */
export async function recordUnfenced(pool: SinkPool, effect: Effect): Promise<'done'> {
  await insert(pool, effect);
  return 'done';
}

async function insert(client: Pick<SinkPool, 'query'>, effect: Effect): Promise<void> {
  const { lock, token, messageId, pod } = effect;
  const values = [lock, token, messageId, pod];
  await client.query('INSERT INTO effects (lock, token, message_id, pod) VALUES ($1, $2, $3, $4)', values);
}

/** Compares what is in the store with what was published. Ids are in the order of the writes. */
export async function judgeEffects(
  pool: Pick<SinkPool, 'query'>,
  lock: string,
  published: readonly string[],
): Promise<EffectVerdict> {
  const { rows } = await pool.query(
    `SELECT message_id AS "messageId", token::float8 AS token,
            coalesce(max(token) OVER (ORDER BY id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0)::float8
              AS highest
     FROM effects WHERE lock = $1 ORDER BY id`,
    [lock],
  );
  const effects = rows as { messageId: string; token: number; highest: number }[];
  const counts = new Map<string, number>();
  for (const { messageId } of effects) counts.set(messageId, (counts.get(messageId) ?? 0) + 1);
  const wanted = new Set(published);
  return {
    effects: effects.length,
    lost: published.filter((id) => !counts.has(id)),
    repeated: [...counts].filter(([, count]) => count > 1).map(([id]) => id),
    unknown: [...counts.keys()].filter((id) => !wanted.has(id)),
    stale: effects.filter(({ token, highest }) => token < highest).map(({ messageId }) => messageId),
  };
}
