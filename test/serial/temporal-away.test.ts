import { startDevStack, type DevStack } from '../../src/dev/dev-stack';
import { regionWorkflowId, type RegionStatus } from '../../workflows/contract';
import { eventually } from '../support/eventually';
import { sharedServers } from '../support/servers';
import { TestSystem } from '../support/test-system';

jest.setTimeout(300_000);

const ttlMs = 6_000;
let stack: DevStack;
let system: TestSystem;

beforeAll(async () => {
  stack = await startDevStack({ servers: ['temporal'], temporalPersistent: true });
});
afterAll(() => stack.stop());

beforeEach(async () => {
  const servers = { ...sharedServers(), temporal: stack.temporalAddress };
  system = await TestSystem.create({ servers, lockSettings: { leaseTtlMs: ttlMs } });
  await system.bringUp();
  (await system.connectPublisher()).start(200);
  await system.untilProcessed(50);
});
afterEach(() => system.stop());

test('with Temporal away for three TTLs the holder keeps processing, and a killed one is replaced; then all agree', async () => {
  const before = await system.view();
  await stack.temporal?.stop();
  const awaySince = process.hrtime.bigint();
  await new Promise((done) => setTimeout(done, 3 * ttlMs));
  await system.untilProcessed(system.processed() + 100);
  expect((await system.view()).holder?.token).toBe(before.holder?.token);
  const starts = system
    .ledger()
    .flatMap(({ records }) => records)
    .filter(({ event, t }) => event === 'start' && t > awaySince)
    .map(({ t }) => t)
    .toSorted((a, b) => Number(a - b));
  const longestGapMs = Math.max(...starts.map((t, i) => Number(t - (starts[i - 1] ?? awaySince)) / 1e6));
  expect(starts.length).toBeGreaterThan(300);
  // Any change of holder would take longer.
  expect(longestGapMs).toBeLessThan(ttlMs - 1_000);

  await system.killPod('us-east-a');
  const after = await system.until('the west holds', ({ holder }) => holder?.region === 'us-west');
  await system.untilProcessed(system.processed() + 100);

  await stack.temporal?.start();
  const client = await system.temporalClient();
  await eventually(async () => {
    const status = (region: string): Promise<RegionStatus> =>
      client.workflow.getHandle(regionWorkflowId(system.lock, region)).query('status');
    expect(await status('us-west')).toMatchObject({
      phase: 'active',
      tenure: { token: after.holder?.token },
    });
  }, 60_000);
  const receipts = await system.store.listReceipts(10);
  expect(receipts.map(({ to }) => to?.token)).toContain(after.holder?.token);
  expect(await system.settle()).toMatchObject({ lost: [], overlaps: 0, tokensMonotonic: true });
});

test('a region workflow that was terminated and started again adopts the tenure of the pod that works on', async () => {
  const before = await system.view();
  const client = await system.temporalClient();
  const handle = client.workflow.getHandle(regionWorkflowId(system.lock, 'us-east'));
  await handle.terminate('test');
  await system.untilProcessed(system.processed() + 200);
  await system.baton('start', '--region', 'us-east');
  await eventually(async () => {
    const status: RegionStatus = await client.workflow
      .getHandle(regionWorkflowId(system.lock, 'us-east'))
      .query('status');
    expect(status).toMatchObject({ phase: 'active', tenure: { token: before.holder?.token } });
  }, 60_000);
  // And it can be switched by it.
  await system.baton('switch', '--to', 'us-west', '--reason', 'test', '--lock', system.lock);
  const verdict = await system.settle();
  expect(verdict).toMatchObject({ lost: [], duplicates: [], overlaps: 0, tokensMonotonic: true });
  expect(verdict.changes.map(({ cause }) => cause)).toEqual(['first', 'switch']);
});

test('started twice, a region has one workflow', async () => {
  const before = await system.temporalClient();
  const id = regionWorkflowId(system.lock, 'us-east');
  const { runId } = await before.workflow.getHandle(id).describe();
  expect(await system.baton('start', '--region', 'us-east')).toContain('already');
  expect((await before.workflow.getHandle(id).describe()).runId).toBe(runId);
});
