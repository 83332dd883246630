import { Publisher } from '../../src/demo/publisher';
import { eventually } from '../support/eventually';
import { TestSystem } from '../support/test-system';

jest.setTimeout(240_000);

let system: TestSystem;
let second: Publisher;

const secondIsHeld = (): Promise<void> =>
  eventually(async () => {
    if (!(await system.secondStore.read()).holder) throw new Error('nobody holds the second lock');
  }, 40_000);

beforeEach(async () => {
  system = await TestSystem.create({ lockCount: 2 });
  await system.bringUp();
  (await system.connectPublisher()).start(100);
  second = await Publisher.connect(system.servers.rabbitmq, `${system.lock}-2`, () => {});
});
afterEach(async () => {
  await second.close();
  await system.stop();
});

test('two locks share a listener; when it dies both go on in the spare, each under a new token', async () => {
  const before = [await system.view(), await system.secondStore.read()].map(({ holder }) => holder);
  await system.untilProcessed(30);
  system.signal(system.activeListener('us-east-a'), 'SIGKILL');
  await eventually(async () => {
    const after = [await system.view(), await system.secondStore.read()].map(({ holder }) => holder);
    for (const [index, holder] of after.entries()) {
      expect(holder?.pod).toBe(before[index]?.pod);
      expect(holder?.token).toBeGreaterThan(before[index]?.token ?? Infinity);
    }
  }, 40_000);
  await system.untilProcessed(system.processed() + 100);
  expect(await system.settle()).toMatchObject({ lost: [], overlaps: 0, tokensMonotonic: true });
});

test('one lock lost from outside kills the shared listener; the other goes on in the spare and is not given up', async () => {
  const before = await system.view();
  const other = await system.secondStore.read();
  await system.untilProcessed(30);
  await system.secondStore.deleteHolder(other.holder?.token ?? -1);
  const after = await system.until(
    'a new token',
    ({ holder }) => !!holder && holder.token !== before.holder?.token,
  );
  expect(after.holder?.pod).toBe(before.holder?.pod);
  expect(after.last?.receipt.cause).toBe('listener-restart');
  await secondIsHeld();
  await system.untilProcessed(system.processed() + 100);
  expect(await system.settle()).toMatchObject({ lost: [], overlaps: 0, tokensMonotonic: true });
});

test('one of two locks is switched; the other stays where it is', async () => {
  const other = await system.secondStore.read();
  await system.baton('switch', '--to', 'us-west', '--reason', 'test', '--lock', system.lock);
  await system.untilProcessed(system.processed() + 100);
  expect((await system.view()).holder?.region).toBe('us-west');
  expect((await system.secondStore.read()).holder?.token).toBe(other.holder?.token);
  expect(await system.settle()).toMatchObject({
    lost: [],
    duplicates: [],
    overlaps: 0,
    tokensMonotonic: true,
  });
});
