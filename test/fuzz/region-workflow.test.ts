import fc from 'fast-check';
import { regionTaskQueue, type RegionStatus } from '../../workflows/contract';
import { uniqueName } from '../support/servers';
import { RegionFixture } from '../workflows/region-fixture';
import { fuzzLimitMs, fuzzRuns } from './fuzz-runs';
import { payloads, queryNames, signalNames, updateNames } from './hostile-messages';
import { json, RawTemporal } from './raw-temporal';

jest.setTimeout(fuzzLimitMs(180_000));

let fixture: RegionFixture;
beforeEach(async () => {
  fixture = await RegionFixture.create();
});
afterEach(() => fixture.close());

const sample = <T>(what: fc.Arbitrary<T>, runs: number): T[] => fc.sample(what, fuzzRuns(runs));

/** Tasks that failed, or that nobody could finish. */
async function failedTasks(workflowId: string): Promise<string[]> {
  const { events } = await fixture.temporal.workflow.getHandle(workflowId).fetchHistory();
  return (events ?? []).flatMap((event) => {
    const failure = event.workflowTaskFailedEventAttributes?.failure;
    return failure ? [failure.message ?? 'failed'] : [];
  });
}

/** Asks until somebody answers, but not for ever: a wedged workflow never does. */
const statusNow = (): Promise<RegionStatus> => fixture.until({ lock: fixture.lock }, 60_000);

test.each([
  ['a reserved task queue', { pod: 'x', queue: '/_sys/x' }],
  ['half of a pair', { pod: 'x', queue: '\ud800' }],
])('a pod whose queue is %s is not taken in, and the workflow goes on', async (_, payload) => {
  await fixture.active();
  const raw = new RawTemporal(fixture.temporal, fixture.handle().workflowId);
  await raw.signal('podReady', [json(payload)]);
  const status = await fixture.until({ signals: { taken: 2, malformed: 1 } }, 60_000);
  expect(status.pods.map(({ pod }) => pod)).not.toContain('x');
  expect(await failedTasks(fixture.handle().workflowId)).toEqual([]);
});

test('whatever is sent to a region, it answers, goes on, and takes the next good message', async () => {
  const { pod } = await fixture.active();
  const { workflowId } = fixture.handle();
  const raw = new RawTemporal(fixture.temporal, workflowId);
  for (const [name, input] of sample(fc.tuple(signalNames, payloads), 120)) await raw.signal(name, input);
  await statusNow();
  await Promise.all(
    sample(fc.tuple(updateNames, payloads), 80).map(async ([name, input]) => {
      // Let in, turned down, or unknown to it; one that waits for an outcome is given up.
      expect(await raw.update(name, input, 30_000).catch(String)).toEqual(expect.any(String));
    }),
  );
  for (const [name, input] of sample(fc.tuple(queryNames, payloads), 20)) await raw.query(name, input);

  const { signals } = await statusNow();
  await fixture.client.podReady(fixture.lock, fixture.east, { pod: 'good', queue: 'baton/good' });
  const { pods } = await fixture.until(
    { pods: expect.arrayContaining([expect.objectContaining({ pod: 'good' })]) as unknown },
    60_000,
  );
  expect(pods.map((each) => each.pod)).toContain(pod.pod);
  expect(signals?.malformed).toBeGreaterThan(0);
  expect(await failedTasks(workflowId)).toEqual([]);
});

test('a workflow that is started with anything else than its input ends, and says why', async () => {
  await fixture.pod('e1');
  const settings = {
    beatMs: 1_000,
    drainLimitMs: 1_000,
    historyLimit: 1_000,
    minSwitchIntervalMs: 0,
    searchAttributes: false,
  };
  const { lock, east: region } = fixture;
  const order = { to: 'west', reason: 'x', by: 'y' };
  const inputs: [string, unknown[]][] = [
    ['regionWorkflow', []],
    ['regionWorkflow', [null]],
    ['regionWorkflow', [{ lock, region }]],
    ['regionWorkflow', [{ lock: 'a/b', region, settings }]],
    ['regionWorkflow', [{ lock, region, settings: { ...settings, beatMs: 'x' } }]],
    ['regionWorkflow', [{ lock, region, settings: { ...settings, beatMs: 1e300 } }]],
    ['regionWorkflow', [{ lock, region, settings: { ...settings, hooks: [null] } }]],
    // What a former run knew, from somebody who is none.
    ['regionWorkflow', [{ lock, region, settings, state: { inbox: 5 } }]],
    ['groupSwitchWorkflow', [{ ...order, order: 'at-once' }]],
    ['groupSwitchWorkflow', [{ ...order, order: 'at-once', locks: [] }]],
    ['groupSwitchWorkflow', [{ ...order, order: 'x', locks: [lock] }]],
    ['drillWorkflow', [{ kind: 'other', lock, ...order }]],
    ['drillWorkflow', [{ kind: 'planned', lock, ...order, objectiveMs: null, returnAfterMs: 'soon' }]],
    ['drillWorkflow', ['crash']],
    ['scheduledSwitchWorkflow', [{ lock: '../x', ...order }]],
  ];
  await Promise.all(
    inputs.map(async ([type, args]) => {
      const workflowId = uniqueName('fuzz');
      const options = { workflowId, taskQueue: regionTaskQueue(region), args };
      const handle = await fixture.temporal.workflow.start(type, options);
      await expect(handle.result()).rejects.toMatchObject({
        cause: { type: 'BadInput', message: expect.stringContaining('is not what is expected') },
      });
      expect(await failedTasks(workflowId)).toEqual([]);
    }),
  );
});

test('a group takes any control signal, and goes on', async () => {
  await fixture.pod('e1');
  let release = (): void => undefined;
  const held = new Promise<void>((resolve) => (release = resolve));
  const { lock, east, operator } = fixture;
  operator.before = () => held;
  const handle = await fixture.temporal.workflow.start('groupSwitchWorkflow', {
    workflowId: uniqueName('fuzz-group'),
    taskQueue: regionTaskQueue(east),
    args: [{ locks: [lock], to: east, reason: 'x', by: 'y', order: 'in-order' }],
  });
  const raw = new RawTemporal(fixture.temporal, handle.workflowId);
  await raw.signal('control', [json({ kind: 'pause' })]);
  for (const input of sample(payloads, 40).filter(
    (each) => !/abort|pause/.test(JSON.stringify(each?.map(({ data }) => String(data)))),
  ))
    await raw.signal('control', input);
  await raw.signal('control', null);
  release();
  await expect(handle.result()).resolves.toMatchObject({ outcome: 'done' });
  expect(await failedTasks(handle.workflowId)).toEqual([]);
});
