import { existsSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { Pool } from 'pg';
import { startDevStack, type DevStack } from '../../src/dev/dev-stack';
import { judgeEffects, prepareEffectSink, type EffectVerdict } from '../../src/dev/effect-sink';
import { eventually } from '../support/eventually';
import { TestSystem } from '../support/test-system';

jest.setTimeout(240_000);

let stack: DevStack;
let pool: Pool;
let system: TestSystem;
let marks: string;

beforeAll(async () => {
  stack = await startDevStack({ servers: ['postgres'] });
  pool = new Pool({ connectionString: stack.postgres.url });
  await prepareEffectSink(pool);
  marks = mkdtempSync(join(tmpdir(), 'baton-marks-'));
  system = await TestSystem.create({
    lockSettings: { leaseTtlMs: 4_000, stallLimitMs: 3_000 },
    handler: resolve(__dirname, '../../dist/test/support/fenced-handler.js'),
    environment: { BATON_TEST_POSTGRES: stack.postgres.url, BATON_TEST_MARKS: marks },
  });
  await system.bringUp();
  (await system.connectPublisher()).start(100);
  await system.untilProcessed(30);
}, 120_000);
afterAll(async () => {
  await system?.stop();
  await pool?.end();
  await stack?.stop();
});

/** Once every published message has an effect. */
async function settled(): Promise<EffectVerdict> {
  await system.settle();
  return eventually(async () => {
    const verdict = await judgeEffects(pool, system.lock, system.publishedIds());
    expect(verdict.lost).toEqual([]);
    return verdict;
  });
}

test('kills of listeners and pods under load: each published message has exactly one effect in the store', async () => {
  await system.publish('exit-after-commit');
  // It comes again, after its commit, and the store has seen to it.
  await eventually(async () => expect(await system.logLines('us-east-a', 'skipped')).not.toEqual([]));
  const before = await system.view();
  system.signal(system.activeListener('us-east-a'), 'SIGKILL');
  await system.until('another token', ({ holder }) => !!holder && holder.token !== before.holder?.token);
  await system.untilProcessed(system.processed() + 100);
  // The second death within a minute has made the listener's pod give the lock up, or soon will.
  const holder = (await system.view()).holder?.pod ?? '';
  const [killed, other] = holder.startsWith('us-west')
    ? ['us-west-a', 'us-east-a']
    : ['us-east-a', 'us-west-a'];
  await system.killPod(killed);
  await system.untilHeldBy(other);
  system.startPod(killed);
  await system.untilReady(killed);
  await system.untilProcessed(system.processed() + 100);
  if (other !== 'us-east-a')
    await system.baton('switch', '--to', 'us-east', '--reason', 'back', '--lock', system.lock);

  expect(await settled()).toMatchObject({ repeated: [], unknown: [], stale: [] });
});

test('a pod frozen between guard and write and thawed after a takeover is refused by the store; without the check it is not', async () => {
  system.publisher?.start(100);
  const before = await system.untilHeldBy('us-east-a');
  const fenced = String(await system.publish('write-elsewhere'));
  const unfenced = String(await system.publish('write-elsewhere-unfenced'));
  const mark = (id: string, name: string): string => join(marks, `${id}.${name}`);
  await eventually(() => {
    expect([fenced, unfenced].filter((id) => existsSync(mark(id, 'waits')))).toEqual([fenced, unfenced]);
  });
  const { agent, listeners: others } = system.processes('us-east-a');
  for (const pid of [agent, ...others]) system.signal(pid, 'SIGSTOP');
  for (const id of [fenced, unfenced]) writeFileSync(mark(id, 'go'), '');
  const after = await system.untilHeldBy('us-west-a');
  await system.untilProcessed(system.processed() + 50);
  // The messages have come again, and been worked on there.
  await eventually(async () => {
    const { lost } = await judgeEffects(pool, system.lock, [fenced, unfenced]);
    expect(lost).toEqual([]);
  });
  expect([fenced, unfenced].filter((id) => existsSync(mark(id, 'outcome')))).toEqual([]);

  for (const pid of [...others, agent]) system.signal(pid, 'SIGCONT');
  const outcome = (id: string): Promise<string> =>
    eventually(() => {
      const text = readFileSync(mark(id, 'outcome'), 'utf8');
      expect(text).not.toBe('');
      return text;
    });
  const [old, highest] = [before.holder?.token, after.holder?.token];
  expect(await outcome(fenced)).toBe(
    `StaleTokenError: token ${old} of lock ${system.lock} is stale: the store has seen token ${highest}; nothing was written`,
  );
  expect(await outcome(unfenced)).toBe('done');
  // The stale effect is that of the negative control, and no other.
  expect(await settled()).toMatchObject({ repeated: [unfenced], unknown: [], stale: [unfenced] });
});
