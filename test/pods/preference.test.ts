import { setTimeout as sleep } from 'node:timers/promises';
import { TestSystem } from '../support/test-system';

jest.setTimeout(240_000);

let system: TestSystem;
afterEach(() => system.stop());

async function start(preference: Record<string, unknown>, holder: string): Promise<void> {
  system = await TestSystem.create({ lockSettings: { preference, maxChangesPerHour: 1 } });
  await system.startRegions();
  system.startPod(holder);
  await system.untilHeldBy(holder);
}
const clock = (hoursFromNow: number): string =>
  new Date(Date.now() + hoursFromNow * 3_600_000).toISOString().slice(11, 16);

test('a region that is never active stays ready, and takes the lock from nobody and at no word', async () => {
  await start({ never: ['us-west'] }, 'us-east-a');
  system.startPod('us-west-a');
  await system.until('us-west-a is ready, and does not stand', ({ candidates }) =>
    candidates.some(({ region, state, standing }) => region === 'us-west' && state === 'ready' && !standing),
  );
  const asked = ['--to', 'us-west', '--reason', 'test', '--by', 'jest'];
  for (const command of ['switch', 'force'])
    expect(await system.tryBaton(command, ...asked)).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('us-west may never be active (preference.never)'),
    });
  expect((await system.view()).holder?.region).toBe('us-east');
  expect(await system.baton('status')).toMatch(/preference +never us-west/);

  await system.killPod('us-east-a');
  await system.until('the lock is free', ({ holder }) => holder === null);
  // Longer than a takeover takes.
  await sleep(1_500);
  expect((await system.view()).holder).toBeNull();
});

test('a killed holder is followed by its own region, also where another one is preferred outside of its windows', async () => {
  const windows = [{ from: clock(2), to: clock(3) }];
  await start({ order: ['us-west'], failback: { windows, healthyForMs: 0 } }, 'us-east-a');
  for (const name of ['us-east-b', 'us-west-a', 'us-west-b']) {
    system.startPod(name);
    await system.untilReady(name);
  }
  await system.killPod('us-east-a');
  const { last } = await system.untilHeldBy('us-east-b');
  expect(last?.receipt).toMatchObject({ cause: 'takeover', to: { region: 'us-east' } });
  // Some beats.
  await sleep(4_000);
  expect((await system.view()).holder?.token).toBe(last?.receipt.to?.token);
});

test('the lock goes back to the preferred region once that has been healthy for long enough', async () => {
  await start({ order: ['us-east', 'us-west'], failback: { healthyForMs: 4_000 } }, 'us-west-a');
  (await system.connectPublisher()).start(200);
  system.startPod('us-east-a');
  const { candidates } = await system.untilReady('us-east-a');
  const { since = '' } = candidates.find(({ region }) => region === 'us-east') ?? {};
  const { last, flap } = await system.untilHeldBy('us-east-a');
  expect(last?.receipt).toMatchObject({
    cause: 'switch',
    by: 'baton',
    why: expect.stringMatching(/^failback: us-east is preferred to us-west and has been healthy for \d/),
  });
  expect(Date.parse(last?.receipt.at ?? '') - Date.parse(since)).toBeGreaterThan(4_000);
  expect(flap.tripped).toBeNull();
  // It stays there: nobody is preferred to it.
  await system.untilReady('us-west-a');
  await sleep(3_000);
  expect((await system.view()).holder?.token).toBe(last?.receipt.to?.token);
  expect(await system.settle()).toMatchObject({
    lost: [],
    duplicates: [],
    overlaps: 0,
    tokensMonotonic: true,
  });
});
