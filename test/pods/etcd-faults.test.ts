import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startDevStack, type DevStack } from '../../src/dev/dev-stack';
import { isRunning } from '../../src/dev/process-state';
import { etcdLeader } from '../support/etcd-leader';
import { LoopMount } from '../support/loop-mount';
import { LossyProxy } from '../support/lossy-proxy';
import { sharedServers } from '../support/servers';
import { TestSystem } from '../support/test-system';

jest.setTimeout(300_000);

const ttlMs = 6_000;
/** Of the pods. Where answers are to get lost, they are held back for longer. */
const requestTimeoutMs = 1_000;
let stack: DevStack;
let system: TestSystem;
const proxies: LossyProxy[] = [];

async function bringUp(options: {
  members: number;
  proxied?: boolean;
  dataDirs?: Record<number, string>;
  /** The east talks to a follower only. Its index. */
  eastBehindFollower?: boolean;
  /** Over the others. */
  lockSettings?: Record<string, unknown>;
}): Promise<number> {
  const { members, dataDirs } = options;
  let follower = -1;
  stack = await startDevStack({
    servers: ['etcd'],
    etcdMembers: members,
    ...(dataDirs && { etcdDataDirs: dataDirs }),
  });
  const etcdFor: Record<string, string[]> = {};
  if (options.proxied)
    for (const region of ['us-east', 'us-west']) {
      const proxy = await LossyProxy.start(stack.etcdAddresses[0] ?? '');
      proxies.push(proxy);
      etcdFor[region] = [proxy.address];
    }
  if (options.eastBehindFollower) {
    follower = (await etcdLeader(stack.etcdAddresses)) === 0 ? 1 : 0;
    etcdFor['us-east'] = [stack.etcdAddresses[follower] ?? ''];
  }
  system = await TestSystem.create({
    servers: { ...sharedServers(), etcd: stack.etcdAddresses },
    etcdFor,
    lockSettings: { leaseTtlMs: ttlMs, requestTimeoutMs, ...options.lockSettings },
  });
  await system.bringUp();
  (await system.connectPublisher()).start(100);
  await system.untilProcessed(30);
  return follower;
}

afterEach(async () => {
  await system?.stop();
  await Promise.all(proxies.splice(0).map((proxy) => proxy.close()));
  await stack?.stop();
});

const pause = (ms: number): Promise<void> => new Promise((done) => setTimeout(done, ms));

test('etcd frozen past the TTL: the listener is dead by its deadline, and the pods go on when etcd does', async () => {
  // The margin is also for the machine that runs this test.
  const leaseTtlMs = 10_000;
  await bringUp({ members: 1, lockSettings: { leaseTtlMs, deadlineMarginMs: 4_000 } });
  const listener = system.activeListener('us-east-a');
  const frozenAt = Date.now();
  await stack.etcd?.member(0).pause();
  while (isRunning(listener) && Date.now() - frozenAt < 2 * leaseTtlMs) await pause(10);
  // The last extension was sent before the freeze, so the deadline is at most TTL minus the margin away.
  expect(Date.now() - frozenAt).toBeLessThan(leaseTtlMs);
  system.deaths.push({ pid: listener, t: process.hrtime.bigint() });
  await pause(1_000);
  stack.etcd?.member(0).resume();
  await system.until('somebody holds again', ({ holder }) => holder !== null);
  await system.untilProcessed(system.processed() + 50);
  expect(await system.settle()).toMatchObject({ lost: [], overlaps: 0, tokensMonotonic: true });
});

test('etcd restarted: no change of holder', async () => {
  // However long a busy machine takes for it.
  await bringUp({ members: 1, lockSettings: { leaseTtlMs: 30_000 } });
  const before = await system.view();
  await stack.etcd?.member(0).restart();
  await system.untilProcessed(system.processed() + 100);
  expect((await system.view()).holder?.token).toBe(before.holder?.token);
  expect(await system.settle()).toMatchObject({ lost: [], overlaps: 0, duplicates: [] });
});

test('the answer to a hand-over is lost: it is settled, and exactly one pod goes on', async () => {
  await bringUp({ members: 1, proxied: true });
  const before = await system.view();
  const [east] = proxies;
  const answer = system.tryBaton(
    'switch',
    '--to',
    'us-west',
    '--reason',
    'lost answer',
    '--lock',
    system.lock,
    '--timeout',
    '30',
  );
  // From the moment on which the holder says that it drains, nothing comes back to its region.
  await system.until(
    'it drains',
    ({ candidates, holder }) =>
      candidates.some(({ pod, state }) => pod === before.holder?.pod && state === 'draining') ||
      holder?.region === 'us-west',
  );
  east?.swallowAnswers();
  await pause(requestTimeoutMs + 500);
  east?.deliverAnswers();
  east?.cut();
  await answer;
  const after = await system.until('somebody holds', ({ holder }) => holder !== null);
  await system.untilProcessed(system.processed() + 100);
  const verdict = await system.settle();
  expect(verdict).toMatchObject({ lost: [], overlaps: 0, tokensMonotonic: true });
  expect(after.holder?.token).toBeGreaterThanOrEqual(before.holder?.token ?? Infinity);
});

test('the answer to an acquisition is lost: the pod finds out that it won, or somebody else did', async () => {
  await bringUp({ members: 1, proxied: true });
  const before = await system.view();
  const [, west] = proxies;
  await system.killPod('us-east-a');
  await system.until('the lock is free or taken', ({ holder }) => holder?.token !== before.holder?.token);
  west?.swallowAnswers();
  await pause(requestTimeoutMs + 500);
  west?.deliverAnswers();
  west?.cut();
  await system.until('the west holds', ({ holder }) => holder?.region === 'us-west');
  await system.untilProcessed(system.processed() + 100);
  expect(await system.settle()).toMatchObject({ lost: [], overlaps: 0, tokensMonotonic: true });
});

test('the answer to a release is lost: the lock is free all the same', async () => {
  await bringUp({ members: 1, proxied: true });
  const before = await system.view();
  const [east] = proxies;
  await system.killPod('us-west-a');
  await system.until(
    'the west is gone',
    ({ candidates }) => !candidates.some(({ region }) => region === 'us-west'),
  );
  process.kill(system.processes('us-east-a').agent, 'SIGTERM');
  await system.until(
    'it drains',
    ({ candidates, holder }) => !holder || candidates.some(({ state }) => state === 'draining'),
  );
  east?.swallowAnswers();
  await pause(requestTimeoutMs + 500);
  east?.deliverAnswers();
  east?.cut();
  await system.until('nobody holds', ({ holder }) => holder === null);
  system.startPod('us-west-a');
  const after = await system.untilHeldBy('us-west-a');
  expect(after.holder?.token).toBeGreaterThan(before.holder?.token ?? Infinity);
  expect(await system.settle()).toMatchObject({ lost: [], overlaps: 0, tokensMonotonic: true });
});

test('a hand-over that waits in a paused follower and is applied late, or not at all, leaves one holder', async () => {
  const follower = await bringUp({ members: 3, eastBehindFollower: true });
  const before = await system.view();
  const answer = system.tryBaton(
    'switch',
    '--to',
    'us-west',
    '--reason',
    'applied late',
    '--lock',
    system.lock,
    '--timeout',
    '30',
  );
  await system.until(
    'it drains',
    ({ candidates, holder }) =>
      candidates.some(({ pod, state }) => pod === before.holder?.pod && state === 'draining') ||
      holder?.region === 'us-west',
  );
  await stack.etcd?.member(follower).pause();
  // Longer than a request may take, shorter than the lease: the follower passes on what it holds when it wakes.
  await pause(requestTimeoutMs + 500);
  stack.etcd?.member(follower).resume();
  await answer;
  await system.until('somebody holds', ({ holder }) => holder !== null);
  await system.untilProcessed(system.processed() + 100);
  expect(await system.settle()).toMatchObject({ lost: [], overlaps: 0, tokensMonotonic: true });
});

test('of three members, one frozen follower costs nothing, and the leader frozen costs no overlap', async () => {
  await bringUp({ members: 3 });
  const before = await system.view();
  const leader = await etcdLeader(stack.etcdAddresses);
  const follower = stack.etcd?.members.findIndex((_, index) => index !== leader) ?? 0;
  await stack.etcd?.member(follower).pause();
  await pause(ttlMs * 1.5);
  expect((await system.view()).holder?.token).toBe(before.holder?.token);
  stack.etcd?.member(follower).resume();
  await pause(1_000);
  await stack.etcd?.member(leader).pause();
  await system.untilProcessed(system.processed() + 100, 60_000);
  stack.etcd?.member(leader).resume();
  await system.untilProcessed(system.processed() + 100);
  expect(await system.settle()).toMatchObject({ lost: [], overlaps: 0, tokensMonotonic: true });
});

test('an etcd leader with a stalled disk confirms no extension: the old listener is dead before the majority moves on', async () => {
  const parent = mkdtempSync(join(tmpdir(), 'baton-disks-'));
  const mounts = [0, 1, 2].map((index) => LoopMount.create(parent, `member-${index}`));
  try {
    if (mounts.includes(null)) {
      console.warn('not run: this machine allows no loop mounts');
      return;
    }
    const dataDirs = Object.fromEntries(mounts.map((mount, index) => [index, join(mount!.folder, 'data')]));
    await bringUp({ members: 3, dataDirs });
    const before = await system.view();
    const leader = await etcdLeader(stack.etcdAddresses);
    mounts[leader]?.freeze();
    // Either the majority has elected another leader in time for the holder, or somebody else holds later.
    await system.untilProcessed(system.processed() + 200, 60_000);
    const others = stack.etcdAddresses.filter((_, index) => index !== leader);
    expect(others).toHaveLength(2);
    mounts[leader]?.thaw();
    await system.untilProcessed(system.processed() + 100);
    const after = await system.until('somebody holds', ({ holder }) => holder !== null);
    expect(after.holder?.token).toBeGreaterThanOrEqual(before.holder?.token ?? Infinity);
    expect(await system.settle()).toMatchObject({ lost: [], overlaps: 0, tokensMonotonic: true });
  } finally {
    for (const mount of mounts) mount?.thaw();
    await system?.stop();
    await stack?.stop();
    for (const mount of mounts) mount?.unmount();
    rmSync(parent, { recursive: true, force: true });
  }
});
