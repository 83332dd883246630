import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Client } from 'pg';
import type { AuditEntry } from '../../src/audit/audit-entry';
import { type DevStack, startDevStack } from '../../src/dev/dev-stack';
import { eventually } from '../support/eventually';
import { TestSystem } from '../support/test-system';

jest.setTimeout(240_000);

let system: TestSystem;
let stack: DevStack;
const file = (pod: string): string => join(system.folder, 'audit', `${pod}.jsonl`);
const entries = (pod: string): AuditEntry[] =>
  readFileSync(file(pod), 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as AuditEntry);

beforeAll(async () => {
  stack = await startDevStack({ servers: ['postgres'] });
  system = await TestSystem.create({
    fileSettings: { audit: { file: 'audit/{pod}.jsonl' } },
    // The secret comes from elsewhere than the rest, as every secret can.
    environment: { BATON_AUDIT_POSTGRES_URL: stack.postgres.url },
  });
  await system.bringUp();
  (await system.connectPublisher()).start(100);
  await system.untilProcessed(20);
});
afterAll(async () => {
  await system?.stop();
  await stack?.stop();
});

test('every change, every decision and every tenure is on record in each pod, also after a crash, and a planted change is named', async () => {
  await system.baton('switch', '--to', 'us-west', '--reason', 'for the record', '--by', 'jest');
  await system.untilReady('us-east-a');
  await system.killPod('us-west-a');
  await system.untilHeldBy('us-east-a');
  system.startPod('us-west-a');
  await system.untilReady('us-west-a');
  const receipts = (await system.store.listReceipts(10)).toReversed();
  expect(receipts.map(({ cause }) => cause)).toEqual(['first', 'switch', 'takeover']);

  // The pod that was there all the time has them all, in their order; those of its own tenures completed, too.
  await eventually(() => {
    const events = entries('us-east-a').map(({ event }) => event);
    const seen = events.flatMap((event) => (event.kind === 'receipt' ? [event.receipt] : []));
    expect([...new Set(seen.map(({ id }) => id))]).toEqual(receipts.map(({ id }) => id));
    expect(seen.filter(({ firstStartedAt }) => firstStartedAt !== null).length).toBeGreaterThan(0);
    expect(events.filter(({ kind }) => kind === 'tenure').length).toBeGreaterThanOrEqual(3);
    const phases = events.flatMap((event) =>
      event.kind === 'transition' ? [`${event.region} ${event.phase}`] : [],
    );
    expect(phases).toEqual(expect.arrayContaining(['us-east active', 'us-east draining', 'us-east standby']));
  });
  const checked = await system.tryVerify(file('us-east-a'));
  expect(checked).toMatchObject({
    code: 0,
    stdout: expect.stringMatching(/lines are whole[^]*\nhead [\da-f]{64}/),
  });
  // The killed pod's next boot has gone on in the same file.
  expect((await system.tryVerify(file('us-west-a'))).code).toBe(0);
  expect(entries('us-west-a').filter(({ event }) => event.kind === 'opened').length).toBe(2);

  const lines = readFileSync(file('us-west-a'), 'utf8').split('\n');
  const planted = lines.findIndex((line) => line.includes('"reason') || line.includes('for the record'));
  expect(planted).toBeGreaterThan(0);
  const copy = join(system.folder, 'tampered.jsonl');
  writeFileSync(
    copy,
    lines.with(planted, lines[planted]!.replace('for the record', 'for nothing')).join('\n'),
  );
  expect(await system.tryVerify(copy)).toMatchObject({
    code: 1,
    stdout: expect.stringContaining(`line ${planted + 1} was changed`),
  });
  writeFileSync(copy, lines.toSpliced(planted, 1).join('\n'));
  expect(await system.tryVerify(copy)).toMatchObject({
    code: 1,
    stdout: expect.stringContaining(`entry ${planted + 1} is missing`),
  });
});

test('the same stands in PostgreSQL, once and in one chain, also what happened while it was away', async () => {
  await stack.postgres.kill();
  await system.baton('switch', '--to', 'us-west', '--reason', 'nobody looks', '--by', 'jest');
  await system.untilReady('us-east-a');
  // Whoever has it in memory only is gone: it comes back from etcd.
  await system.killPod('us-west-a');
  await system.untilHeldBy('us-east-a');
  system.startPod('us-west-a');
  await system.untilReady('us-west-a');
  await stack.postgres.start();
  const receipts = (await system.store.listReceipts(10)).toReversed();
  expect(receipts.map(({ cause }) => cause)).toEqual(['first', 'switch', 'takeover', 'switch', 'takeover']);
  const client = new Client(stack.postgres.url);
  await client.connect();
  try {
    await eventually(async () => {
      const { rows } = await client.query<{ pod: string; entry: string }>(
        'SELECT pod, entry FROM baton_audit WHERE lock = $1 ORDER BY seq',
        [system.lock],
      );
      const events = rows.map(({ entry }) => (JSON.parse(entry) as AuditEntry).event);
      const seen = events.flatMap((event) => (event.kind === 'receipt' ? [event.receipt] : []));
      expect([...new Set(seen.map(({ id }) => id))]).toEqual(receipts.map(({ id }) => id));
      expect(new Set(seen.map((receipt) => JSON.stringify(receipt))).size).toBe(seen.length);
      expect(events.filter(({ kind }) => kind === 'transition').length).toBeGreaterThan(3);
      expect(new Set(rows.map(({ pod }) => pod)).size).toBeGreaterThanOrEqual(2);
    }, 40_000);
    const whole = await system.tryBaton('audit', 'verify');
    expect(whole).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/rows are whole[^]*\nhead [\da-f]{64}/),
    });
    await client.query('ALTER TABLE baton_audit DISABLE TRIGGER ALL');
    await client.query(`UPDATE baton_audit SET entry = replace(entry, 'nobody looks', 'all is well')`);
    const changed = await system.tryVerify(stack.postgres.url);
    expect(changed).toMatchObject({ code: 1, stdout: expect.stringMatching(/row \d+ was changed/) });
  } finally {
    await client.end();
  }
});

test('the histories of all runs are saved, replay against this version, and one that it would decide otherwise fails', async () => {
  const folder = join(system.folder, 'histories');
  // Others have left theirs in the same namespace.
  const told = await system.baton('export-histories', folder, '--lock', system.lock);
  const names = readdirSync(folder);
  expect(told).toContain(`${names.length} histories saved`);
  // More than one of a region, where it has been continued as new meanwhile.
  const regions = names.map((name) => /(us-\w+)\.[\da-f-]+\.json$/.exec(name)?.[1]);
  expect(new Set(regions)).toEqual(new Set(['us-east', 'us-west']));
  // As if an older version had asked something else of a pod.
  const other = join(system.folder, 'other');
  mkdirSync(other);
  const read = (name: string): string => readFileSync(join(folder, name), 'utf8');
  const name = names.find((each) => read(each).includes('"awaitTenure"')) ?? '';
  writeFileSync(join(other, name), read(name).replaceAll('"awaitTenure"', '"somethingElse"'));
  const empty = join(system.folder, 'logs');
  const replays = await Promise.all([folder, other, empty].map((at) => system.run('replay', at)));
  expect(replays).toEqual([
    expect.objectContaining({
      code: 0,
      stdout: expect.stringContaining(`${names.length} histories replayed, 0 failed`),
    }),
    expect.objectContaining({
      code: 1,
      stdout: expect.stringMatching(/FAILED .*[^]*1 history replayed, 1 failed/),
    }),
    expect.objectContaining({ code: 1, stderr: expect.stringContaining('there is no history in') }),
  ]);
});

test('top writes plain lines into a pipe: who is active, the lanes, the rate', async () => {
  const rate = /\d+ messages\/s, handler p50 [\d.]+ ms p99/;
  const { stdout, code } = await system.runUntil(rate, 'top', '--config', system.configFile());
  expect(code).toBe(0);
  expect(stdout).toMatch(
    /^\d{4}-\S+Z {2}lock-\w+: us-east is active for .*, 1 ready to take over \(pod us-east-a-.*\); us-east active, us-west standby/m,
  );
  expect(stdout).toMatch(rate);
  expect(stdout).not.toContain('\u001b');
});
