import { TestSystem } from '../support/test-system';

jest.setTimeout(240_000);

const ttlMs = 6_000;
let system: TestSystem;

beforeEach(async () => {
  system = await TestSystem.create({ lockSettings: { leaseTtlMs: ttlMs } });
});
afterEach(() => system.stop());

/** Two pods in the east and one in the west, `us-east-a` active, 200 messages a second. */
async function bringUp(): Promise<void> {
  await system.bringUp(['us-east-a', 'us-east-b', 'us-west-a']);
  (await system.connectPublisher()).start(200);
  await system.untilProcessed(50);
}

test('a killed pod is replaced soon after its TTL, with nothing lost and nothing overlapping', async () => {
  await bringUp();
  const before = await system.view();
  const lastExtension = system.pod('us-east-a').lastExtension() ?? Date.now();
  await system.killPod('us-east-a');
  const after = await system.until(
    'another pod holds',
    ({ holder }) => holder?.token !== before.holder?.token && !!holder,
  );
  const elapsedMs = Date.now() - lastExtension;

  expect(after.holder?.pod).not.toBe(before.holder?.pod);
  expect(after.last?.receipt.cause).toBe('takeover');
  // Here a second more on a quiet machine. Whatever else could bring a successor would take 10 s more.
  expect(elapsedMs).toBeLessThan(ttlMs + 6_000);
  await system.untilProcessed(system.processed() + 100);
  const verdict = await system.settle();
  expect(verdict).toMatchObject({ lost: [], overlaps: 0, tokensMonotonic: true });
  expect(verdict.duplicates.length).toBeLessThanOrEqual(8);
});

test('a switch asked for during a takeover is done or not, and says which', async () => {
  await bringUp();
  const before = await system.view();
  await system.killPod('us-east-a');
  const options = ['--to', 'us-west', '--by', 'jest', '--reason'];
  const { code, stdout, stderr } = await system.tryBaton('switch', ...options, 'meanwhile');
  const after = await system.until(
    'another pod holds',
    ({ holder }) => !!holder && holder.token !== before.holder?.token,
  );
  const done = after.last?.receipt.cause === 'switch' && after.holder?.region === 'us-west';
  expect({ code, says: /was not switched: \S/.test(stderr) || /^cause +switch/m.test(stdout) }).toEqual({
    code: done ? 0 : 1,
    says: true,
  });
  // Whatever became of it, the next one works.
  expect(await system.tryBaton('switch', ...options, 'afterwards')).toMatchObject({ code: 0 });
  expect((await system.view()).holder?.region).toBe('us-west');
  await system.untilProcessed(system.processed() + 100);
  const verdict = await system.settle();
  expect(verdict).toMatchObject({ lost: [], overlaps: 0, tokensMonotonic: true });
  expect(verdict.duplicates.length).toBeLessThanOrEqual(8);
});

test('a killed listener is repaired in place from the spare, under a new token; the second exit gives the lock up', async () => {
  await bringUp();
  const before = await system.view();
  system.signal(system.activeListener('us-east-a'), 'SIGKILL');
  const repaired = await system.until(
    'a new token',
    ({ holder }) => !!holder && holder.token !== before.holder?.token,
  );
  expect(repaired.holder?.pod).toBe(before.holder?.pod);
  expect(repaired.last?.receipt.cause).toBe('listener-restart');
  await system.untilProcessed(system.processed() + 100);

  system.signal(system.activeListener('us-east-a'), 'SIGKILL');
  const moved = await system.until(
    'another pod holds',
    ({ holder }) => !!holder && holder.pod !== before.holder?.pod,
  );
  // Given up at once: nobody had to wait for the lease to run out.
  expect(moved.candidates.map(({ pod }) => pod)).toContain(before.holder?.pod);
  await system.untilProcessed(system.processed() + 100);
  const verdict = await system.settle();
  expect(verdict).toMatchObject({ lost: [], overlaps: 0, tokensMonotonic: true });
  expect(verdict.changes.map(({ cause }) => cause)).toEqual(['first', 'listener-restart', 'takeover']);
});

test('SIGTERM drains and hands over to the own region, without a duplicate', async () => {
  await bringUp();
  const before = await system.view();
  process.kill(system.processes('us-east-a').agent, 'SIGTERM');
  const after = await system.until(
    'another pod holds',
    ({ holder }) => !!holder && holder.pod !== before.holder?.pod,
  );
  expect(after.holder?.pod).toMatch(/^us-east-b/);
  expect(after.last?.receipt).toMatchObject({ cause: 'shutdown', from: { pod: before.holder?.pod } });
  await system.until(
    'its candidate is gone',
    ({ candidates }) => !candidates.some(({ pod }) => pod === before.holder?.pod),
  );
  await system.untilProcessed(system.processed() + 100);
  const verdict = await system.settle();
  expect(verdict).toMatchObject({ lost: [], overlaps: 0, duplicates: [], tokensMonotonic: true });
});

test('SIGTERM of the only pod releases the lock', async () => {
  await system.bringUp(['us-east-a']);
  process.kill(system.processes('us-east-a').agent, 'SIGTERM');
  const after = await system.until(
    'nobody holds',
    ({ holder, candidates }) => !holder && candidates.length === 0,
  );
  expect(after.last?.receipt).toMatchObject({ cause: 'release', to: null });
});

test('a pod restarted under its old name within the TTL is another pod and waits for the lease', async () => {
  await system.bringUp(['us-east-a']);
  const before = await system.view();
  (await system.connectPublisher()).start(200);
  await system.untilProcessed(50);
  await system.killPod('us-east-a');
  system.startPod('us-east-a');
  const after = await system.until(
    'a new tenure',
    ({ holder }) => !!holder && holder.token !== before.holder?.token,
  );
  expect(after.holder?.pod).toMatch(/^us-east-a-/);
  expect(after.holder?.pod).not.toBe(before.holder?.pod);
  expect(after.last?.receipt.cause).toBe('takeover');
  await system.untilProcessed(system.processed() + 50);
  expect(await system.settle()).toMatchObject({ lost: [], overlaps: 0, tokensMonotonic: true });
});

test('a message that ends its process is worked on again by the spare', async () => {
  await bringUp();
  const before = await system.view();
  const seq = await system.publish('exit');
  const after = await system.until(
    'a new token',
    ({ holder }) => !!holder && holder.token !== before.holder?.token,
  );
  expect(after.holder?.pod).toBe(before.holder?.pod);
  const verdict = await system.settle();
  expect(verdict.lost).not.toContain(seq);
  expect(verdict).toMatchObject({ lost: [], overlaps: 0, tokensMonotonic: true });
});
