import type { Client } from 'pg';

/** Only `entry` is stored by anybody: the columns for queries follow from it, so that none can be changed beside it. */
const columns = `
  entry text NOT NULL,
  seq bigint GENERATED ALWAYS AS (((entry::jsonb) ->> 'seq')::bigint) STORED PRIMARY KEY,
  id text GENERATED ALWAYS AS ((entry::jsonb) ->> 'id') STORED UNIQUE,
  at text GENERATED ALWAYS AS ((entry::jsonb) ->> 'at') STORED,
  region text GENERATED ALWAYS AS ((entry::jsonb) ->> 'region') STORED,
  pod text GENERATED ALWAYS AS ((entry::jsonb) ->> 'pod') STORED,
  kind text GENERATED ALWAYS AS ((entry::jsonb) #>> '{event,kind}') STORED,
  lock text GENERATED ALWAYS AS ((entry::jsonb) #>> '{event,lock}') STORED`;

/**
 * The table of all pods' audit entries, which refuses to change or to lose a row. For who lets pods do no more than
 * INSERT and SELECT: run it once by hand.
 */
export const auditTable = `
CREATE TABLE IF NOT EXISTS baton_audit (${columns}
);
CREATE OR REPLACE FUNCTION baton_audit_refuse() RETURNS trigger LANGUAGE plpgsql AS
  $$ BEGIN RAISE EXCEPTION 'baton_audit is append-only'; END $$;
DROP TRIGGER IF EXISTS baton_audit_append_only ON baton_audit;
CREATE TRIGGER baton_audit_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON baton_audit
  FOR EACH STATEMENT EXECUTE FUNCTION baton_audit_refuse();
`;

/** Rows at once. */
const pageRows = 1_000;

/** Who appends, or makes the table, is alone until its transaction ends; a frozen one for `idleLimitMs` at most. */
export const beginAppend = (idleLimitMs: number): string =>
  `BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL idle_in_transaction_session_timeout = ${idleLimitMs}; SELECT pg_advisory_xact_lock(hashtext('baton_audit'))`;

export async function hasAuditTable(client: Client): Promise<boolean> {
  const { rows } = await client.query<{ found: boolean }>(
    `SELECT to_regclass('baton_audit') IS NOT NULL AS found`,
  );
  return rows[0]?.found ?? false;
}

/** Every entry as it stands there, in its order. A long table is read page by page, from one snapshot. */
export async function* auditRows(client: Client): AsyncGenerator<string> {
  await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
  try {
    let above = '-9223372036854775808';
    for (;;) {
      const { rows } = await client.query<{ seq: string; entry: string }>(
        'SELECT seq, entry FROM baton_audit WHERE seq > $1 ORDER BY seq LIMIT $2',
        [above, pageRows],
      );
      for (const { entry } of rows) yield entry;
      const last = rows.at(-1);
      if (!last || rows.length < pageRows) return;
      above = last.seq;
    }
  } finally {
    // Also where the reader has stopped at the first problem.
    await client.query('ROLLBACK');
  }
}

/** `pg` is a package of the user's, and loaded only by who has such a record. @throws Error saying what to install. */
export function openAuditClient(connectionString: string): Client {
  let pg: typeof import('pg');
  try {
    pg = require('pg') as typeof import('pg');
  } catch (error) {
    throw new Error('audit.postgresUrl needs the package pg: npm install pg', { cause: error });
  }
  const limits = { connectionTimeoutMillis: 5_000, query_timeout: 15_000, keepAlive: true };
  return new pg.Client({ connectionString, application_name: 'baton audit', ...limits });
}
