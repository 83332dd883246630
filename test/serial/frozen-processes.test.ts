import { isRunning } from '../../src/dev/process-state';
import { regionWorkflowId } from '../../workflows/contract';
import { TestSystem } from '../support/test-system';

jest.setTimeout(240_000);

const ttlMs = 6_000;
let system: TestSystem;

beforeEach(async () => {
  system = await TestSystem.create({ lockSettings: { leaseTtlMs: ttlMs } });
  await system.bringUp();
  (await system.connectPublisher()).start(100);
  await system.untilProcessed(30);
});
afterEach(() => system.stop());

const safe = { lost: [], overlaps: 0, tokensMonotonic: true };

test('a handler that blocks the event loop is killed at the stall limit and replaced', async () => {
  const before = await system.view();
  const listener = system.activeListener('us-east-a');
  await system.publish('block');
  const death = system.noteDeath(listener);
  const after = await system.until(
    'a new token',
    ({ holder }) => !!holder && holder.token !== before.holder?.token,
  );
  expect(after.holder?.pod).toBe(before.holder?.pod);
  expect(isRunning(listener)).toBe(false);
  await death;
  await system.untilProcessed(system.processed() + 50);
  expect(await system.settle()).toMatchObject(safe);
});

test.each(['SIGKILL', 'SIGSTOP'] as const)(
  'a blocked listener whose agent has got a %s is dead before another pod starts',
  async (signal) => {
    const before = await system.view();
    const listener = system.activeListener('us-east-a');
    const { agent } = system.processes('us-east-a');
    await system.publish('block');
    // It blocks by now, and not yet for as long as the agent lets it.
    await new Promise((done) => setTimeout(done, 1_000));
    system.signal(agent, signal);
    const death = system.noteDeath(listener);
    const after = await system.until(
      'another pod holds',
      ({ holder }) => !!holder && holder.pod !== before.holder?.pod,
    );
    // Whoever takes over may rely on it: the old listener is dead already.
    expect(isRunning(listener)).toBe(false);
    await death;
    expect(after.holder?.region).toBe('us-west');
    await system.untilProcessed(system.processed() + 50);
    expect(await system.settle()).toMatchObject(safe);
  },
);

test('a pod frozen past its lease and thawed starts nothing more', async () => {
  const before = await system.view();
  const { agent, listeners } = system.processes('us-east-a');
  for (const pid of [agent, ...listeners]) system.signal(pid, 'SIGSTOP');
  await system.until('the west holds', ({ holder }) => holder?.region === 'us-west');
  await system.untilProcessed(system.processed() + 50);
  const thawed = process.hrtime.bigint();
  for (const pid of [...listeners, agent]) system.signal(pid, 'SIGCONT');
  await new Promise((done) => setTimeout(done, 1_500));

  const stale = system
    .ledger()
    .flatMap(({ records }) => records)
    .filter(({ event, token, t }) => event === 'start' && token === before.holder?.token && t > thawed);
  expect(stale).toEqual([]);
  // What was frozen in its handler may end now: that is the exception which only the token can cover.
  const verdict = await system.settle();
  expect(verdict).toMatchObject({ lost: [], tokensMonotonic: true });
  await system.untilReady('us-east-a');
});

test('instructions that waited for a frozen pod are refused when it thaws', async () => {
  const before = await system.view();
  const { agent, listeners } = system.processes('us-east-a');
  for (const pid of [agent, ...listeners]) system.signal(pid, 'SIGSTOP');
  const client = await system.temporalClient();
  const east = client.workflow.getHandle(regionWorkflowId(system.lock, 'us-east'));
  const west = client.workflow.getHandle(regionWorkflowId(system.lock, 'us-west'));
  await east
    .signal('gracefulSwitch', { to: 'us-west', reason: 'the holder is frozen', by: 'jest' })
    .catch(() => {});
  const after = await system.until('the west holds', ({ holder }) => holder?.region === 'us-west');
  for (const pid of [...listeners, agent]) system.signal(pid, 'SIGCONT');
  await system.untilReady('us-east-a');
  await system.untilProcessed(system.processed() + 50);

  // The drain that waited must not have touched the new holder, nor the old pod's new life.
  const { holder } = await system.view();
  expect(holder?.token).toBe(after.holder?.token);
  const verdict = await system.settle();
  expect(verdict).toMatchObject({ lost: [], tokensMonotonic: true });
  expect(verdict.changes.map(({ to }) => to.token)).toEqual([before.holder?.token, after.holder?.token]);
  expect(JSON.stringify(await west.query('status'))).toContain('active');
});
