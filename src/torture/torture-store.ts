import { Pool } from 'pg';
import { prepareEffectSink } from '../dev/effect-sink';
import type { EffectRecord } from './run-recorder';

/** Makes the tables of the handlers' store. */
export async function prepareStore(url: string): Promise<void> {
  await withPool(url, prepareEffectSink);
}

/** Everything that the store has taken, in its own order. */
export function effectsIn(url: string): Promise<EffectRecord[]> {
  return withPool(url, async (pool) => {
    const { rows } = await pool.query<{
      lock: string;
      id: string;
      token: number;
      us: string;
      sequence: number;
    }>(
      `SELECT lock, message_id AS id, token::float8 AS token, id::float8 AS sequence,
              (extract(epoch FROM written_at) * 1000000)::bigint::text AS us
       FROM effects ORDER BY effects.id`,
    );
    const offsetNs = process.hrtime.bigint() - BigInt(Date.now()) * 1_000_000n;
    return rows.map(({ us, ...row }) => ({
      ...row,
      at: (BigInt(us) * 1_000n + offsetNs).toString(),
      accepted: true,
    }));
  });
}

async function withPool<T>(url: string, use: (pool: Pool) => Promise<T>): Promise<T> {
  const pool = new Pool({ connectionString: url });
  try {
    return await use(pool);
  } finally {
    await pool.end();
  }
}
