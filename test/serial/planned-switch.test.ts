import { regionWorkflowId } from '../../workflows/contract';
import { TestSystem } from '../support/test-system';

jest.setTimeout(240_000);

let system: TestSystem;

beforeEach(async () => {
  // More than the handlers take, so that each switch has something to return.
  system = await TestSystem.create({ queueSettings: { prefetch: 50 } });
  await system.bringUp();
});
afterEach(() => system.stop());

test('switches there and back under load lose nothing, double nothing, and leave receipts', async () => {
  (await system.connectPublisher()).start(300);
  await system.untilProcessed(50);
  for (const to of ['us-west', 'us-east', 'us-west']) {
    const answer = await system.baton(
      'switch',
      '--to',
      to,
      '--reason',
      'test',
      '--by',
      'jest',
      '--lock',
      system.lock,
      '--json',
    );
    expect(JSON.parse(answer)).toMatchObject({
      switches: [
        { outcome: 'done', receipt: { cause: 'switch', why: 'test', by: 'jest', to: { region: to } } },
      ],
    });
    await system.untilReady(to === 'us-west' ? 'us-east-a' : 'us-west-a');
    await system.untilProcessed(system.processed() + 50);
  }
  const verdict = await system.settle();
  expect(verdict).toMatchObject({ lost: [], duplicates: [], overlaps: 0, tokensMonotonic: true });
  expect(verdict.changes.map(({ cause }) => cause)).toEqual(['first', 'switch', 'switch', 'switch']);
  const receipts = await system.store.listReceipts(10);
  for (const receipt of receipts.filter(({ cause }) => cause === 'switch')) {
    expect(receipt.gapMs).not.toBeNull();
    expect(receipt.drained).not.toBeNull();
  }
});

test('status shows holder, token, candidates and the reason of the last change', async () => {
  await system.baton('switch', '--to', 'us-west', '--reason', 'because', '--lock', system.lock);
  const { holder } = await system.view();
  const table = await system.baton('status');
  expect(table).toContain(system.lock);
  expect(table).toContain(String(holder?.token));
  expect(table).toContain('because');
  expect(table).not.toContain('{');
  expect(JSON.stringify(JSON.parse(await system.baton('status', '--json')))).toContain(holder?.pod);
});

test('a switch to a region without a pod is refused, naming why, and nothing is touched', async () => {
  process.kill(system.processes('us-west-a').agent, 'SIGTERM');
  await system.until(
    'the west is empty',
    ({ candidates }) => !candidates.some(({ region }) => region === 'us-west'),
  );
  const before = await system.view();
  const { code, stderr, stdout } = await system.tryBaton(
    'switch',
    '--to',
    'us-west',
    '--reason',
    'test',
    '--lock',
    system.lock,
  );
  expect(code).toBe(1);
  expect(stdout + stderr).toMatch(/us-west/);
  expect(stdout + stderr).toMatch(/candidate/);
  expect((await system.view()).holder?.token).toBe(before.holder?.token);
});

test('a signal by hand, without an id, switches too; one to the standby region is recorded and ignored', async () => {
  const client = await system.temporalClient();
  const standby = client.workflow.getHandle(regionWorkflowId(system.lock, 'us-west'));
  await standby.signal('gracefulSwitch', { reason: 'wrong region', by: 'jest' });
  const before = await system.view();
  const active = client.workflow.getHandle(regionWorkflowId(system.lock, 'us-east'));
  await active.signal('gracefulSwitch', { reason: 'by hand', by: 'jest' });
  const after = await system.untilHeldBy('us-west-a');
  expect(after.holder?.token).toBeGreaterThan(before.holder?.token ?? Infinity);
  expect(after.last?.receipt).toMatchObject({ cause: 'switch', why: 'by hand' });
  expect(JSON.stringify(await standby.query('status'))).toContain('wrong region');
});
