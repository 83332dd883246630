import { readFileSync, writeFileSync } from 'node:fs';
import type { CrashDrillReport } from '../../workflows/operations-contract';
import { isRunning } from '../../src/dev/process-state';
import { TestSystem } from '../support/test-system';

jest.setTimeout(240_000);

let system: TestSystem;

beforeEach(async () => {
  system = await TestSystem.create({
    lockSettings: { drill: { objectiveMs: 60_000, crashObjectiveMs: 60_000, allowCrash: true } },
  });
  await system.startRegions();
  system.startPod('us-east-a');
  await system.untilHeldBy('us-east-a');
});
afterEach(() => system.stop());

const who = ['--reason', 'quarterly', '--by', 'jest'];
const drill = (...more: string[]) => system.tryBaton('drill', '--lock', system.lock, ...who, ...more);

async function startWest({ allowCrash }: { allowCrash: boolean }): Promise<void> {
  const file = system.configFile('us-west');
  const config = JSON.parse(readFileSync(file, 'utf8')) as {
    locks: Record<string, { drill: { allowCrash: boolean } }>;
  };
  config.locks[system.lock]!.drill.allowCrash = allowCrash;
  writeFileSync(file, JSON.stringify(config));
  system.startPod('us-west-a');
  await system.untilReady('us-west-a');
}

test('a crash drill kills the holder and measures the recovery; nobody is killed who does not allow it', async () => {
  const alone = await drill('--crash');
  expect(alone).toMatchObject({
    code: 1,
    stdout: expect.stringContaining('nothing was killed: no other candidate is ready and stands'),
  });
  await startWest({ allowCrash: false });
  (await system.connectPublisher()).start(200);
  await system.untilProcessed(50);
  const { holder } = await system.view();
  const { agent, listeners } = system.processes('us-east-a');
  for (const pid of listeners) void system.noteDeath(pid);
  const crashed = await drill('--crash', '--json');
  const { drill: report } = JSON.parse(crashed.stdout) as { drill: CrashDrillReport };
  expect(report).toMatchObject({
    kind: 'crash',
    outcome: 'passed',
    why: expect.stringMatching(/worked on its first message \d+ ms after the kill, within the objective of/),
    holder: { region: 'us-east', token: holder?.token },
    receipt: { cause: 'takeover', from: { token: holder?.token }, to: { region: 'us-west' } },
    measuredTo: 'first message',
    objectiveMs: 60_000,
  });
  expect(crashed.code).toBe(0);
  // The lease's rest: it was extended every 2.7 s, for 6 s.
  expect(report.recoveryMs).toBeGreaterThan(2_000);
  for (const pid of [agent, ...listeners]) expect(isRunning(pid)).toBe(false);
  expect(await system.logLines('us-east-a', 'killing this pod for a crash drill')).toEqual([
    expect.objectContaining({ reason: 'quarterly', by: 'jest', token: holder?.token }),
  ]);

  system.startPod('us-east-a');
  await system.untilReady('us-east-a');
  const before = await system.view();
  const refused = await drill('--crash');
  expect(refused.stdout).toMatch(/^drill +failed: nothing was killed: us-west-a-\w+ refused: .*allowCrash/);
  expect(refused.code).toBe(1);
  expect((await system.view()).holder?.token).toBe(before.holder?.token);
  const verdict = await system.settle();
  expect(verdict).toMatchObject({ lost: [], overlaps: 0, tokensMonotonic: true });
  expect(verdict.duplicates.filter(({ allowed }) => !allowed)).toEqual([]);
});

test('a real crash during a planned drill ends it, whichever region is left', async () => {
  await startWest({ allowCrash: false });
  const running = drill('--to', 'us-west', '--return-after', '10m', '--json');
  await system.untilHeldBy('us-west-a');
  await system.killPod('us-west-a');
  const { code, stdout } = await running;
  expect(JSON.parse(stdout)).toMatchObject({
    drill: {
      kind: 'planned',
      outcome: 'ended',
      why: 'us-east is active meanwhile: left as it is',
      there: { outcome: 'done' },
      back: null,
    },
  });
  expect(code).toBe(1);
  await system.untilHeldBy('us-east-a');
});

test('drills run at their time, and are listed and cancelled like switches', async () => {
  await startWest({ allowCrash: false });
  const at = new Date(Date.now() + 6_000).toISOString();
  const scheduled = async (...more: string[]): Promise<string> =>
    /^scheduled: (\S+)$/m.exec((await drill(...more)).stdout)?.[1] ?? '';
  const planned = await scheduled('--to', 'us-west', '--return-after', '1s', '--at', at);
  const weekly = await scheduled('--crash', '--cron', '0 4 * * 1', '--time-zone', 'Europe/Berlin');
  await system.untilHeldBy('us-west-a');
  await system.untilHeldBy('us-east-a');
  let list = '';
  for (let i = 0; i < 20 && !list.includes('passed:'); i++) list = await system.baton('schedule', 'list');
  expect(list).toMatch(new RegExp(`^${planned} +drill +${system.lock} +us-west .*passed: `, 'm'));
  expect(list).toMatch(
    new RegExp(`^${weekly} +crash drill +${system.lock} +- +0 4 \\* \\* 1 \\(Europe/Berlin\\)`, 'm'),
  );
  for (const id of [planned, weekly])
    expect(await system.baton('schedule', 'cancel', '--id', id)).toContain('is cancelled');
});
