/** Where the two tables are. Default: the first schema of the connection's `search_path`. */
export interface FenceSchema {
  /** Must exist. Any name that PostgreSQL takes, without quotes. */
  schema?: string;
}

/** PostgreSQL cuts longer names off in silence. */
const maxNameBytes = 63;

/** The tables' names, quoted, for SQL text. @throws TypeError when the schema is no name. */
export function fenceNames({ schema }: FenceSchema = {}): { fence: string; inbox: string } {
  const prefix = schema === undefined ? '' : `${quoted(schema)}.`;
  return { fence: `${prefix}baton_fence`, inbox: `${prefix}baton_inbox` };
}

/**
 * SQL that makes the two tables where they are missing; for a migration, or for `pool.query` as it is. It changes
 * nothing that is there, and may run again and again, also by several pods at once.
 *
 * - `baton_fence`: one row per lock, with the highest token that has written anything.
 * - `baton_inbox`: one row per message that was worked on. Delete old rows by `done_at`; a message that comes again
 *   after that is worked on again.
 *
 * @throws TypeError when the schema is no name.
 */
export function fenceTables(options: FenceSchema = {}): string {
  const { fence, inbox } = fenceNames(options);
  // CREATE TABLE IF NOT EXISTS of two sessions at once ends with an error in one of them without the lock.
  return `DO $baton$ BEGIN
  PERFORM pg_advisory_xact_lock(hashtext('baton fence tables'));
  CREATE TABLE IF NOT EXISTS ${fence} (
    lock text PRIMARY KEY,
    token bigint NOT NULL,
    raised_at timestamptz NOT NULL DEFAULT now()
  );
  CREATE TABLE IF NOT EXISTS ${inbox} (
    lock text NOT NULL,
    message_id text NOT NULL,
    token bigint NOT NULL,
    done_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (lock, message_id)
  );
  CREATE INDEX IF NOT EXISTS baton_inbox_done_at ON ${inbox} (done_at);
END $baton$;
`;
}

function quoted(name: string): string {
  if (typeof name !== 'string' || name === '' || name.includes('\0') || name.includes('$baton$'))
    throw new TypeError(`schema is ${JSON.stringify(name)}: must be the name of a schema`);
  if (Buffer.byteLength(name) > maxNameBytes)
    throw new TypeError(`schema is ${JSON.stringify(name)}: must be ${maxNameBytes} bytes at most`);
  return `"${name.replaceAll('"', '""')}"`;
}
