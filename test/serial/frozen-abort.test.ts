import { randomUUID } from 'node:crypto';
import { isRunning } from '../../src/dev/process-state';
import type { LockView } from '../../src/pod/lock-store';
import { regionWorkflowId } from '../../workflows/contract';
import { eventually } from '../support/eventually';
import { TestSystem } from '../support/test-system';

jest.setTimeout(120_000);

/** Long enough for an abort, and for half a drain, within the lease of a pod that stands still. */
const ttlMs = 12_000;
/** Of a pending activity: its worker has been given it. */
const startedState = 2;
let system: TestSystem;

// One system for all: each test but the last leaves it as it has found it.
beforeAll(async () => {
  system = await TestSystem.create({ lockSettings: { leaseTtlMs: ttlMs } });
  // The second pod of the region carries its workflow on while the first one is frozen.
  await system.bringUp(['us-east-a', 'us-east-b', 'us-west-a']);
});
afterAll(() => system.stop());

let before: LockView;
let switchId: string;
beforeEach(async () => {
  switchId = randomUUID();
  before = await system.untilHeldBy('us-east-a');
  (await system.connectPublisher()).start(200);
  await system.untilProcessed(system.processed() + 50);
});

const east = async () =>
  (await system.temporalClient()).workflow.getHandle(regionWorkflowId(system.lock, 'us-east'));

const askForSwitch = async (): Promise<void> =>
  (await east()).signal('gracefulSwitch', { switchId, to: 'us-west', reason: 'test', by: 'jest' });

/** Returns when the abort is committed. Its command ends later, when the workflow has heard of the outcome. */
async function abort(): Promise<{ said: Promise<string> }> {
  const said = eventually(async () => {
    const { stdout } = await system.tryBaton(
      'abort',
      '--switch',
      switchId,
      '--reason',
      'wrong day',
      '--by',
      'ben',
    );
    // The region's queries may have gone to the frozen pod at first: then an operator asks again.
    expect(stdout).not.toContain('not-aborted');
    return stdout;
  }, 40_000);
  said.catch(() => undefined); // Awaited by the test, if it comes so far.
  await eventually(async () => expect(await system.store.isAborted(switchId)).toBe(true), 40_000);
  return { said };
}

/** The slow message is being worked on, and the drain waits for it. */
async function untilDraining(): Promise<void> {
  await system.publish('slow');
  await askForSwitch();
  await system.until('the target is prepared', ({ candidates }) =>
    candidates.some(({ region, preparedFor }) => region === 'us-west' && preparedFor === switchId),
  );
  // From here on it is one read of etcd to the drain.
  await new Promise((done) => setTimeout(done, 300));
}

const linesOfSwitch = async (text: string) =>
  (await system.logLines('us-east-a', text)).filter((line) => line['switchId'] === switchId);

const safe = { lost: [], duplicates: [], overlaps: 0, tokensMonotonic: true };

test('frozen while it drains and thawed within its lease, a pod whose switch was aborted keeps the lock', async () => {
  await untilDraining();
  const { agent, listeners } = system.processes('us-east-a');
  for (const pid of [agent, ...listeners]) system.signal(pid, 'SIGSTOP');
  const { said } = await abort();
  expect((await system.view()).holder?.token).toBe(before.holder?.token);
  for (const pid of [...listeners, agent]) system.signal(pid, 'SIGCONT');

  // Its drain goes on to its end; the hand-over that follows is refused.
  expect(await said).toContain('rolled-back: ');
  const [resumed] = await eventually(async () => {
    const lines = await system.logLines('us-east-a', 'consuming again under the same token');
    expect(lines).toHaveLength(1);
    return lines;
  });
  expect(resumed).toMatchObject({
    token: before.holder?.token,
    reason: expect.stringContaining(`switch ${switchId} has been aborted`),
  });
  await system.untilProcessed(system.processed() + 50);
  expect(await system.settle()).toMatchObject(safe);
  expect((await system.view()).holder?.token).toBe(before.holder?.token);
  expect(await system.store.readReceipt(switchId)).toBeNull();
});

test('an instruction that waited for a frozen agent while its switch was aborted is refused, and nothing stops', async () => {
  const { agent, listeners } = system.processes('us-east-a');
  system.signal(agent, 'SIGSTOP');
  await askForSwitch();
  await eventually(async () => {
    const { raw } = await (await east()).describe();
    const delivered = raw.pendingActivities?.filter(({ state }) => Number(state) === startedState);
    expect(delivered?.map(({ activityType }) => activityType?.name)).toContain('drainAndHandOver');
  }, 40_000);
  const { said } = await abort();
  const worked = system.processed();
  expect((await system.view()).holder?.token).toBe(before.holder?.token);
  system.signal(agent, 'SIGCONT');

  await eventually(async () =>
    expect(await linesOfSwitch('hand-over refused')).toContainEqual(
      expect.objectContaining({ reason: `switch ${switchId} was aborted` }),
    ),
  );
  expect(await said).toMatch(/(rolled-back|refused): /);
  expect(await linesOfSwitch('draining')).toEqual([]);
  await system.untilProcessed(worked + 50);
  expect(await system.settle()).toMatchObject(safe);
  expect((await system.view()).holder?.token).toBe(before.holder?.token);
  // The same listener: nobody has killed or replaced it.
  expect(listeners.filter(isRunning)).toEqual(listeners);
});

test('frozen while it drains and thawed after its lease, an agent hands nothing over: another pod has the lock', async () => {
  const listener = system.activeListener('us-east-a');
  await untilDraining();
  const { agent } = system.processes('us-east-a');
  system.signal(agent, 'SIGSTOP');
  const death = system.noteDeath(listener);
  const { said } = await abort();
  const after = await system.until(
    'another pod holds',
    ({ holder }) => !!holder && holder.pod !== before.holder?.pod,
  );
  // By its own watchdog.
  expect(isRunning(listener)).toBe(false);
  await death;
  system.signal(agent, 'SIGCONT');

  await system.untilReady('us-east-a');
  expect(await said).not.toContain(': done: ');
  await system.untilProcessed(system.processed() + 100);
  const verdict = await system.settle();
  expect(verdict).toMatchObject({ lost: [], overlaps: 0, tokensMonotonic: true });
  expect(verdict.duplicates.filter(({ allowed }) => !allowed)).toEqual([]);
  expect(verdict.changes.map(({ to }) => to.token)).toEqual([before.holder?.token, after.holder?.token]);
  expect((await system.view()).holder?.token).toBe(after.holder?.token);
  expect(after.last?.receipt.cause).toBe('takeover');
  expect(await system.store.readReceipt(switchId)).toBeNull();
});
