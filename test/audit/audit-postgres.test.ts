import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'pg';
import type { AuditEntry, AuditEvent } from '../../src/audit/audit-entry';
import { AuditPostgres } from '../../src/audit/audit-postgres';
import { auditRows, auditTable, beginAppend } from '../../src/audit/audit-table';
import { type AuditVerdict, verifyEntries } from '../../src/audit/audit-verifier';
import { type DevStack, startDevStack } from '../../src/dev/dev-stack';
import type { Receipt } from '../../workflows/contract';
import { eventually } from '../support/eventually';

let stack: DevStack;
let client: Client;
let problems: string[];
const open: AuditPostgres[] = [];

beforeAll(async () => {
  stack = await startDevStack({ servers: ['postgres'] });
}, 120_000);
afterAll(() => stack?.stop());
beforeEach(async () => {
  problems = [];
  client = await connect();
  await client.query('DROP TABLE IF EXISTS baton_audit');
});
afterEach(async () => {
  await Promise.all(open.splice(0).map((record) => record.close()));
  await client.end().catch(() => undefined);
});

async function connect(): Promise<Client> {
  const connected = new Client(stack.postgres.url);
  connected.on('error', () => undefined);
  await connected.connect();
  return connected;
}

function pod(name: string, known: AuditEvent[] = [], url = stack.postgres.url): AuditPostgres {
  const record = new AuditPostgres({
    url,
    region: 'us-east',
    pod: name,
    version: '1',
    onProblem: (problem) => problems.push(problem),
    known: () => [() => Promise.resolve(known)],
  });
  open.push(record);
  return record;
}
const tenure = (token: number): AuditEvent => ({
  kind: 'tenure',
  lock: 'orders',
  event: 'start',
  token,
  why: 'test ü',
});
const receipt = (id: string): AuditEvent => ({
  kind: 'receipt',
  lock: 'orders',
  receipt: { id, lock: 'orders', cause: 'switch', why: 'test', by: 'jest' } as Receipt,
});
const entries = async (): Promise<AuditEntry[]> => {
  const { rows } = await client.query<{ entry: string }>('SELECT entry FROM baton_audit ORDER BY seq');
  return rows.map(({ entry }) => JSON.parse(entry) as AuditEntry);
};
const untilWritten = (count: number): Promise<void> =>
  eventually(async () => {
    const { length } = await entries().catch(() => []);
    if (length < count) throw new Error(`${length} of ${count} rows are written`);
  });
const verify = (head?: string): Promise<AuditVerdict> => verifyEntries(auditRows(client), head, 'row');
const tamper = async (statement: string): Promise<void> => {
  await client.query(`ALTER TABLE baton_audit DISABLE TRIGGER ALL`);
  await client.query(statement);
};

test('pods that write at the same time make one chain, in which a receipt that all of them tell stands once', async () => {
  const pods = ['a', 'b', 'c', 'd'].map((name) => pod(name));
  for (let token = 1; token <= 100; token += 1)
    for (const each of pods) {
      each.append(tenure(token));
      if (token % 10 === 0) each.append(receipt(`switch-${token}`));
      if (token % 25 === 0) await sleep(5);
    }
  await Promise.all(pods.map((each) => each.close()));
  // Each its opening and a hundred tenures, and ten receipts among them all.
  expect(await verify()).toMatchObject({ problem: null, lines: 4 * 101 + 10 });
  const all = await entries();
  const receipts = all.flatMap(({ event }) => (event.kind === 'receipt' ? [event.receipt.id] : []));
  expect(receipts).toEqual(Array.from({ length: 10 }, (_, i) => `switch-${10 * (i + 1)}`));
  // They did take turns.
  const turns = all.filter(({ pod: of }, i) => of !== all[i - 1]?.pod).length;
  expect(turns).toBeGreaterThan(4);
  expect(problems).toEqual([]);
});

test('the table refuses to change; who gets around that is found, but for the last row without a head', async () => {
  const record = pod('a');
  for (let token = 1; token <= 5; token += 1) record.append(tenure(token));
  await record.close();
  const whole = await entries();
  for (const statement of [
    `UPDATE baton_audit SET entry = entry`,
    'DELETE FROM baton_audit',
    'TRUNCATE baton_audit',
  ])
    await expect(client.query(statement)).rejects.toThrow('baton_audit is append-only');
  const { head } = await verify();
  expect(await verify(head)).toMatchObject({ problem: null, lines: 6 });

  await tamper('DELETE FROM baton_audit WHERE seq = 6');
  expect(await verify()).toMatchObject({ problem: null, lines: 5 });
  expect(await verify(head)).toMatchObject({
    problem: expect.stringContaining('rows were changed, or taken off'),
  });
  await tamper(`UPDATE baton_audit SET entry = replace(entry, '"token":2', '"token":9') WHERE seq = 3`);
  expect(await verify()).toMatchObject({ problem: expect.stringContaining('row 3 was changed') });
  await tamper('DELETE FROM baton_audit WHERE seq = 3');
  expect(await verify()).toMatchObject({
    problem: expect.stringContaining('row 3 is entry 4: entry 3 is missing'),
  });
  expect(whole).toHaveLength(6);
});

test('with the database away nobody waits; when it is back all is written, and what etcd has in addition', async () => {
  const record = pod('a', [receipt('before'), receipt('meanwhile')]);
  record.append(receipt('before'));
  await untilWritten(3);
  await stack.postgres.kill();
  const began = performance.now();
  for (let token = 1; token <= 500; token += 1) record.append(tenure(token));
  expect(performance.now() - began).toBeLessThan(1_000);
  await eventually(() => expect(problems).toHaveLength(1));
  expect(problems[0]).toContain('the audit record is not written');
  // A second pod begins while it is away.
  const late = pod('b', [receipt('before'), receipt('meanwhile'), receipt('of b')]);
  await stack.postgres.start();
  client = await connect();
  await untilWritten(3 + 500 + 2);
  expect(await verify()).toMatchObject({ problem: null });
  const ids = (await entries()).flatMap(({ event }) => (event.kind === 'receipt' ? [event.receipt.id] : []));
  expect(ids.toSorted()).toEqual(['before', 'meanwhile', 'of b']);
  await late.close();
});

test('etcd away keeps no entry from being written; its receipts come later', async () => {
  let isAway = true;
  const record = new AuditPostgres({
    url: stack.postgres.url,
    region: 'us-east',
    pod: 'a',
    version: '1',
    onProblem: (problem) => problems.push(problem),
    known: () => [
      () => (isAway ? Promise.reject(new Error('no answer')) : Promise.resolve([receipt('old')])),
    ],
  });
  open.push(record);
  record.append(tenure(1));
  await untilWritten(2);
  isAway = false;
  await untilWritten(3);
  expect(problems).toEqual([]);
});

test('pods that may only INSERT and SELECT append to a table that somebody else has made', async () => {
  await client.query(auditTable);
  await client.query('DROP ROLE IF EXISTS auditor; CREATE ROLE auditor LOGIN');
  await client.query('GRANT SELECT, INSERT ON baton_audit TO auditor');
  const record = pod('a', [], stack.postgres.url.replace('baton@', 'auditor@'));
  record.append(tenure(1));
  await record.close();
  expect(problems).toEqual([]);
  expect(await verify()).toMatchObject({ problem: null, lines: 2 });
  await client.query('DROP OWNED BY auditor; DROP ROLE auditor');
});

test('a pod that is frozen while it appends keeps the others waiting for a bounded time', async () => {
  const first = pod('a');
  await untilWritten(1);
  const frozen = await connect();
  await frozen.query(beginAppend(1_500));
  const began = performance.now();
  first.append(tenure(1));
  await untilWritten(2);
  // It did wait for the lock, and no longer than that.
  expect(performance.now() - began).toBeGreaterThan(1_000);
  await frozen.end().catch(() => undefined);
});
