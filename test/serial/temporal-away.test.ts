import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { Etcd3 } from 'etcd3';
import { startDevStack, type DevStack } from '../../src/dev/dev-stack';
import { regionWorkflowId, type RegionStatus } from '../../workflows/contract';
import { eventually } from '../support/eventually';
import { LockLoad } from '../support/lock-load';
import { sharedServers } from '../support/servers';
import { TestSystem, type TestSystemOptions } from '../support/test-system';

jest.setTimeout(300_000);

const ttlMs = 4_000;
/** The default for such a TTL. */
const beatMs = 10_000;
/** Of each lock. */
const messagesPerSecond = 50;
let stack: DevStack;
let system: TestSystem;
let load: LockLoad;

beforeAll(async () => {
  stack = await startDevStack({ servers: ['temporal'], temporalPersistent: true });
});
afterAll(() => stack.stop());

async function bringUp(pods: string[], options: TestSystemOptions = {}): Promise<void> {
  const servers = { ...sharedServers(), temporal: stack.temporalAddress };
  system = await TestSystem.create({ servers, lockSettings: { leaseTtlMs: ttlMs, beatMs }, ...options });
  await system.bringUp(pods);
  load = await LockLoad.start(system, messagesPerSecond);
  await system.untilProcessed(50);
}
afterEach(async () => {
  await closeWatch();
  closeWatch = async () => {};
  await load.stop();
  await system.stop();
});

const pause = (ms: number): Promise<void> => new Promise((done) => setTimeout(done, ms));
const views = () => Promise.all(system.stores.map((store) => store.read()));
const tokens = async (): Promise<(number | undefined)[]> =>
  (await views()).map(({ holder }) => holder?.token);

let closeWatch = async (): Promise<void> => {};

/** Every write of a holder key of this system's locks from now on, as etcd itself tells it; until the test ends. */
async function watchHolders(): Promise<number[]> {
  const etcd = new Etcd3({ hosts: sharedServers().etcd.map((address) => `http://${address}`) });
  const written: number[] = [];
  const watcher = await etcd.watch().prefix(`/baton/${system.lock}`).create();
  watcher.on('put', ({ key, mod_revision: revision }) => {
    if (String(key).endsWith('/holder')) written.push(Number(revision));
  });
  closeWatch = async () => {
    await watcher.cancel();
    etcd.close();
  };
  return written;
}

async function statusOf(lock: string, region: string): Promise<RegionStatus> {
  const client = await system.temporalClient();
  return client.workflow.getHandle(regionWorkflowId(lock, region)).query('status');
}

/** Until the workflow of every lock and region says what etcd says. @returns ms it took, and who lagged until when. */
async function untilAgreed(limitMs = 60_000): Promise<{ tookMs: number; lagged: Record<string, number> }> {
  const began = performance.now();
  const lagged: Record<string, number> = {};
  await eventually(async () => {
    const current = await views();
    for (const [i, lock] of system.locks.entries()) {
      const holder = current[i]?.holder;
      for (const region of system.regions) {
        const { phase, tenure, why } = await statusOf(lock, region);
        const wanted = holder?.region === region ? ['active', holder.token, holder.pod] : ['standby'];
        const said = tenure ? [phase, tenure.token, tenure.pod] : [phase];
        if (String(said) !== String(wanted))
          lagged[`${lock}/${region}: ${String(said)}, ${why}`] = performance.now() - began;
        expect({ lock, region, said, why }).toEqual({ lock, region, said: wanted, why });
      }
    }
  }, limitMs);
  return { tookMs: performance.now() - began, lagged };
}

/** Kills the pod that holds every lock, and starts it again, as its platform would; until another pod holds each. */
async function replaceHolder(): Promise<string> {
  const [{ holder } = { holder: null }] = await views();
  const name = [...system.pods.keys()].find((each) => system.pod(each).owns(holder?.pod ?? '')) ?? '';
  await system.killPod(name);
  system.startPod(name);
  await eventually(async () => {
    for (const view of await views()) {
      expect(view.holder).not.toBeNull();
      expect(view.holder?.token).toBeGreaterThan(holder?.token ?? 0);
    }
  }, 60_000);
  return name;
}

test('static stability: with Temporal away for ten TTLs every holder that is killed is replaced; when it is back all agree within two beats', async () => {
  await bringUp(['us-east-a', 'us-east-b', 'us-west-a', 'us-west-b'], { lockCount: 3 });
  const before = await tokens();
  const written = await watchHolders();
  await stack.temporal.kill();
  const awaySince = performance.now();
  const awayFromNs = process.hrtime.bigint();
  const untilTtl = (count: number): Promise<void> =>
    pause(Math.max(0, count * ttlMs - (performance.now() - awaySince)));

  // Those who hold go on as if nothing were missing.
  await untilTtl(3);
  expect(await tokens()).toEqual(before);
  const workedOn = system
    .ledger()
    .flatMap(({ records }) => records)
    .filter(({ event, t }) => event === 'start' && t > awayFromNs)
    .map(({ t }) => t)
    .toSorted((a, b) => Number(a - b));
  expect(workedOn.length).toBeGreaterThan(3 * messagesPerSecond * 3);
  const longestGapMs = Math.max(...workedOn.map((t, i) => Number(t - (workedOn[i - 1] ?? awayFromNs)) / 1e6));
  // Any change of holder would take longer.
  expect(longestGapMs).toBeLessThan(ttlMs - 1_000);

  // Those who are killed are replaced, one after the other.
  const killed = [await replaceHolder()];
  await untilTtl(6);
  killed.push(await replaceHolder());
  await untilTtl(10);
  expect(new Set(killed).size).toBe(2);
  const processed = system.processed();
  await system.untilProcessed(processed + 100);

  await stack.temporal.start();
  const { tookMs, lagged } = await untilAgreed();
  // What lagged stands in the failure.
  expect(tookMs < 2 * beatMs ? {} : lagged).toEqual({});
  expect(tookMs).toBeLessThan(2 * beatMs);

  // Nobody became holder without a receipt, by etcd's own account and by that of the handlers.
  const receipts = await Promise.all(system.stores.map((store) => store.listReceipts(100)));
  const told = receipts.flat().map(({ to }) => to?.token);
  expect(written.length).toBeGreaterThanOrEqual(2 * system.locks.length);
  expect(told).toEqual(expect.arrayContaining(written));
  for (const verdict of await load.settle()) {
    expect(verdict).toMatchObject({ lost: [], overlaps: 0, tokensMonotonic: true });
    expect(verdict.changes.map(({ cause }) => cause)).not.toContain(null);
    expect(verdict.duplicates.filter(({ allowed }) => !allowed)).toEqual([]);
  }
});

test('region workflows that are lost, by termination or with the database of Temporal, cost no tenure; started again they learn all from etcd', async () => {
  await bringUp(['us-east-a', 'us-west-a'], { lockCount: 2 });
  const before = await tokens();
  const client = await system.temporalClient();
  const handle = client.workflow.getHandle(regionWorkflowId(system.lock, 'us-east'));
  await handle.terminate('test');
  await system.untilProcessed(system.processed() + 200);
  await system.baton('start', '--region', 'us-east');
  await untilAgreed();
  // Started twice, a region has one workflow.
  const { runId } = await handle.describe();
  expect(await system.baton('start', '--region', 'us-east')).toContain('already');
  expect((await handle.describe()).runId).toBe(runId);

  await stack.temporal.kill();
  for (const suffix of ['', '-shm', '-wal'])
    rmSync(join(stack.folder, 'temporal', `temporal.db${suffix}`), { force: true });
  await stack.temporal.start();
  // Temporal says that the workflow is gone, as it would after a termination: nobody new takes over by himself.
  await eventually(async () => {
    for (const { candidates } of await views())
      expect(candidates.filter(({ pod, standing }) => pod.startsWith('us-west') && standing)).toEqual([]);
  }, 60_000);
  await system.untilProcessed(system.processed() + 200);
  expect(await tokens()).toEqual(before);

  await system.startRegions();
  await untilAgreed();
  expect(await tokens()).toEqual(before);
  // And all works as before: a switch, and a takeover.
  await system.untilReady('us-west-a');
  await eventually(() =>
    system.baton('switch', '--to', 'us-west', '--reason', 'test', '--lock', system.lock),
  );
  await eventually(async () => {
    for (const { candidates } of await views())
      expect(candidates.some(({ pod, standing }) => pod.startsWith('us-west') && standing)).toBe(true);
  });
  await system.killPod('us-east-a');
  await eventually(async () => {
    for (const { holder } of await views()) expect(holder?.region).toBe('us-west');
  }, 60_000);
  const verdicts = await load.settle();
  for (const verdict of verdicts)
    expect(verdict).toMatchObject({ lost: [], overlaps: 0, tokensMonotonic: true });
  const changes = verdicts.map((verdict) => verdict.changes.map(({ cause }) => cause));
  expect(changes).toEqual([
    ['first', 'switch'],
    ['first', 'takeover'],
  ]);
});
