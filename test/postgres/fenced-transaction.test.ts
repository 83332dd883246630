import { execFileSync } from 'node:child_process';
import { resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Pool } from 'pg';
import { startDevStack, type DevStack } from '../../src/dev/dev-stack';
import {
  type FencedTransactionOptions,
  fencedTransaction,
  fenceMessage,
  fenceTables,
  StaleTokenError,
} from '../../src/postgres';
import { eventually } from '../support/eventually';

let stack: DevStack;
let pool: Pool;
let lock = '';
let locks = 0;

beforeAll(async () => {
  stack = await startDevStack({ servers: ['postgres'] });
  pool = new Pool({ connectionString: stack.postgres.url, max: 20 });
  await pool.query(fenceTables());
  await pool.query('CREATE TABLE effects (lock text, message_id text, token bigint)');
}, 120_000);
afterAll(async () => {
  await pool?.end();
  await stack?.stop();
});
beforeEach(() => {
  lock = `orders-${(locks += 1)}`;
});

/** One effect; `meanwhile` runs between the check and the write. */
const write = (
  token: number,
  messageId: string,
  meanwhile: () => unknown = () => {},
  more: Partial<FencedTransactionOptions> = {},
) =>
  fencedTransaction(pool, { lock, token, messageId, ...more }, async (client) => {
    await meanwhile();
    await client.query('INSERT INTO effects VALUES ($1, $2, $3)', [lock, messageId, token]);
    return `wrote ${messageId}`;
  });
const effects = async (): Promise<string[]> => {
  const { rows } = await pool.query('SELECT message_id FROM effects WHERE lock = $1 ORDER BY 1', [lock]);
  return (rows as { message_id: string }[]).map((row) => row.message_id);
};
const waiting = async (): Promise<number> => {
  const { rows } = await pool.query(
    `SELECT count(*)::int AS n FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%baton_%'`,
  );
  return (rows as { n: number }[])[0]!.n;
};
/** A promise that is settled from outside. */
function gate(): { opened: Promise<void>; open: () => void } {
  let open!: () => void;
  const opened = new Promise<void>((done) => (open = done));
  return { opened, open };
}

test('a token lower than the highest seen is refused, naming lock, token and highest; nothing is written', async () => {
  await write(11, 'a');
  await write(27, 'b');
  const refused = write(11, 'c');
  await expect(refused).rejects.toThrow(StaleTokenError);
  await expect(refused).rejects.toMatchObject({ lock, token: 11, highest: 27, code: 'STALE_TOKEN' });
  await expect(refused).rejects.toThrow(
    `token 11 of lock ${lock} is stale: the store has seen token 27; nothing was written`,
  );
  // Not even in the inbox: whoever holds the lock now gets the message.
  expect(await write(27, 'c')).toEqual({ outcome: 'done', value: 'wrote c' });
  expect(await effects()).toEqual(['a', 'b', 'c']);
});

test('a message that comes again is skipped, also under a new token, and the caller is told', async () => {
  expect(await write(11, 'a')).toEqual({ outcome: 'done', value: 'wrote a' });
  expect(await write(11, 'a')).toEqual({ outcome: 'duplicate' });
  expect(await write(27, 'a')).toEqual({ outcome: 'duplicate' });
  expect(await effects()).toEqual(['a']);
});

test('work that fails leaves nothing behind, and its message is worked on the next time', async () => {
  const fail = () => Promise.reject(new Error('no stock'));
  await expect(write(11, 'a', fail)).rejects.toThrow('no stock');
  expect(await write(11, 'a')).toMatchObject({ outcome: 'done' });
  expect(await effects()).toEqual(['a']);
});

test('a statement that failed is a failure also when the work has swallowed its error', async () => {
  const swallowed = fencedTransaction(pool, { lock, token: 11, messageId: 'a' }, async (client) => {
    await client.query('SELECT 1 / 0').catch(() => {});
  });
  await expect(swallowed).rejects.toThrow('nothing was committed');
  expect(await write(11, 'a')).toMatchObject({ outcome: 'done' });
});

test('transactions of one tenure run side by side, from its second message on', async () => {
  await write(11, 'first');
  const all = gate();
  let inside = 0;
  const enter = () => {
    if ((inside += 1) === 8) all.open();
    return all.opened;
  };
  // Each waits inside until all eight are: one that waited for another would never end.
  await Promise.all(Array.from({ length: 8 }, (_, index) => write(11, `m${index}`, enter)));
  expect(await effects()).toHaveLength(9);
});

test('the first messages of a tenure, all at once, neither block each other for good nor get lost', async () => {
  for (const token of [11, 27, 31]) {
    const ids = Array.from({ length: 10 }, (_, index) => `${token}-${index}`);
    const outcomes = await Promise.all(ids.map((id) => write(token, id)));
    expect(outcomes.every(({ outcome }) => outcome === 'done')).toBe(true);
  }
  expect(await effects()).toHaveLength(30);
});

test('a new tenure waits for what the one before has open, and what comes after it is refused', async () => {
  await write(11, 'first');
  const work = gate();
  const old = write(11, 'old', () => work.opened);
  await eventually(async () => expect(await idle()).toBe(1));
  const next = write(27, 'next');
  await eventually(async () => expect(await waiting()).toBe(1));
  work.open();
  expect(await old).toMatchObject({ outcome: 'done' });
  expect(await next).toMatchObject({ outcome: 'done' });
  await expect(write(11, 'late')).rejects.toThrow(StaleTokenError);
  expect(await effects()).toEqual(['first', 'next', 'old']);
});
const idle = async (): Promise<number> => {
  const { rows } = await pool.query(
    `SELECT count(*)::int AS n FROM pg_stat_activity WHERE state = 'idle in transaction'`,
  );
  return (rows as { n: number }[])[0]!.n;
};

test('a transaction that has stopped talking keeps the next tenure waiting for the idle limit only', async () => {
  await write(11, 'first');
  const thawed = gate();
  const frozen = write(11, 'frozen', () => thawed.opened, { idleLimitMs: 300 });
  frozen.catch(() => {});
  await eventually(async () => expect(await idle()).toBe(1));
  expect(await write(27, 'next')).toMatchObject({ outcome: 'done' });
  expect(await write(27, 'frozen')).toMatchObject({ outcome: 'done' });
  thawed.open();
  await expect(frozen).rejects.toThrow(/connection/i);
  expect(await effects()).toEqual(['first', 'frozen', 'next']);
  // The broken connection did not go back to the pool.
  await Promise.all(Array.from({ length: 5 }, () => pool.query('SELECT 1')));
});

test('of two deliveries of one message at once, one does the work', async () => {
  await write(11, 'first');
  const outcomes = await Promise.all([1, 2, 3].map(() => write(11, 'a', () => sleep(20))));
  expect(outcomes.filter(({ outcome }) => outcome === 'duplicate')).toHaveLength(2);
  expect(await effects()).toEqual(['a', 'first']);
});

test('the tables may be in a schema of any name, and be asked for again, by many at once', async () => {
  const schema = `it's "odd"; DROP TABLE effects`;
  await pool.query(`CREATE SCHEMA "${schema.replaceAll('"', '""')}"`);
  await Promise.all(Array.from({ length: 5 }, () => pool.query(fenceTables({ schema }))));
  expect(await write(11, 'a', () => {}, { schema })).toMatchObject({ outcome: 'done' });
  expect(await write(11, 'a', () => {}, { schema })).toEqual({ outcome: 'duplicate' });
  // The other tables know nothing of it.
  expect(await write(5, 'a')).toMatchObject({ outcome: 'done' });
});

test('fenceMessage does the same inside a transaction of the caller', async () => {
  const client = await pool.connect();
  await client.query('BEGIN');
  expect(await fenceMessage(client, { lock, token: 27, messageId: 'a' })).toBe('new');
  await client.query('COMMIT');
  await client.query('BEGIN');
  expect(await fenceMessage(client, { lock, token: 27, messageId: 'a' })).toBe('duplicate');
  await expect(fenceMessage(client, { lock, token: 11, messageId: 'b' })).rejects.toThrow(StaleTokenError);
  await client.query('ROLLBACK');
  client.release();
});

test.each([
  [{ messageId: undefined as never }, 'messageId must be given'],
  [{ token: 0 }, 'token is 0: must be a whole number above 0'],
  [{ token: Number.NaN }, 'token is NaN'],
  [{ lock: '' }, 'lock must be given'],
  [{ schema: '' }, 'schema is ""'],
  [{ idleLimitMs: 0 }, 'idleLimitMs is 0: must be a whole number'],
])('bad input is named, and changes nothing: %j', async (wrong, message) => {
  await expect(write(11, 'a', () => {}, wrong)).rejects.toThrow(message);
  expect(await effects()).toEqual([]);
});

test('baton/postgres loads no other package', () => {
  const script =
    "const { fencedTransaction } = require('baton/postgres');" +
    "const others = Object.keys(require.cache).filter((file) => file.includes('node_modules'));" +
    'console.log(typeof fencedTransaction, others.length)';
  const root = resolve(__dirname, '../..');
  expect(execFileSync(process.execPath, ['-e', script], { cwd: root, encoding: 'utf8' })).toBe(
    'function 0\n',
  );
});
