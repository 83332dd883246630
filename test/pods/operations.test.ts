import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { TestSystem } from '../support/test-system';

jest.setTimeout(240_000);

let system: TestSystem;

beforeEach(async () => {
  system = await TestSystem.create({ lockCount: 2 });
  await system.bringUp();
});
afterEach(() => system.stop());

const who = ['--reason', 'test', '--by', 'jest'];

test('a group of locks moves together under load, and is refused as a whole', async () => {
  (await system.connectPublisher()).start(200);
  await system.untilProcessed(50);
  const { group } = JSON.parse(
    await system.baton('group', 'switch', '--to', 'us-west', ...who, '--json'),
  ) as {
    group: object;
  };
  expect(group).toMatchObject({
    outcome: 'done',
    switches: system.locks.map((lock) => ({ lock, outcome: 'done', receipt: { to: { region: 'us-west' } } })),
  });
  for (const store of [system.store, system.secondStore])
    expect((await store.read()).holder?.region).toBe('us-west');

  await system.baton('pause', '--lock', `${system.lock}-2`, ...who);
  const refused = await system.tryBaton('group', 'switch', '--to', 'us-east', ...who);
  expect(refused).toMatchObject({ code: 1, stdout: expect.stringContaining('refused: nothing was touched') });
  expect(refused.stdout).toContain(`${system.lock}-2 is paused by jest`);
  expect((await system.store.read()).holder?.region).toBe('us-west');
  expect(await system.settle()).toMatchObject({
    lost: [],
    duplicates: [],
    overlaps: 0,
    tokensMonotonic: true,
  });
  // Both groups belong to either lock, and to no other.
  const groupsOf = async (lock: string): Promise<number> => {
    const folder = join(system.folder, `histories-${lock}`);
    await system.baton('export-histories', folder, '--lock', lock);
    return readdirSync(folder).filter((name) => name.startsWith('baton-group')).length;
  };
  expect(await Promise.all(system.locks.map(groupsOf))).toEqual([2, 2]);
});

test('a drill goes there and back, and a scheduled switch happens at its time', async () => {
  (await system.connectPublisher()).start(200);
  await system.untilProcessed(50);
  const drill = ['drill', '--lock', system.lock, '--to', 'us-west', '--return-after', '2s', ...who];
  const passed = await system.baton(...drill, '--objective', '60000');
  expect(passed).toMatch(/^drill +passed: the longest gap was \d+ ms, within the objective of 60000 ms$/m);
  expect((await system.store.listReceipts(2)).map(({ why }) => why)).toEqual([
    'end of the drill: test',
    'drill: test',
  ]);
  expect((await system.view()).holder?.region).toBe('us-east');

  await system.untilReady('us-west-a');
  const at = new Date(Date.now() + 5_000).toISOString();
  const said = await system.baton('switch', '--to', 'us-west', '--lock', system.lock, '--at', at, ...who);
  const id = /^scheduled: (\S+)$/m.exec(said)?.[1] ?? '';
  await system.untilHeldBy('us-west-a');
  let list = '';
  for (let i = 0; i < 20 && !list.includes('done:'); i++) list = await system.baton('schedule', 'list');
  expect(list).toMatch(new RegExp(`^${id} .*done: ${system.lock} was handed over`, 'm'));
  expect(await system.baton('schedule', 'cancel', '--id', id)).toContain('is cancelled');
  expect(await system.tryBaton('schedule', 'cancel', '--id', id)).toMatchObject({ code: 1 });
  expect(await system.settle()).toMatchObject({ lost: [], duplicates: [], overlaps: 0 });
});
