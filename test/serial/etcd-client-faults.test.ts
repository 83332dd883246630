import { RefusedError, UnknownOutcomeError } from '../../activities/errors';
import { startDevStack, type DevStack } from '../../src/dev/dev-stack';
import { EtcdClient } from '../../src/etcd/etcd-client';
import { GuardReader } from '../../src/etcd/guard-reader';
import type { WatchHint } from '../../src/pod/lock-store';
import { eventually, LockFixture } from '../etcd/lock-fixture';

const timeoutMs = 500;
let stack: DevStack;
let fixture: LockFixture;

const started = async (members: number) => {
  stack = await startDevStack({ servers: ['etcd'], etcdMembers: members });
  fixture = new LockFixture(stack.etcdAddresses, timeoutMs);
  await answering(5_000);
};
afterEach(async () => {
  fixture.client.close();
  await stack.stop();
});

/** How long it took until etcd answered, ms. */
async function answering(limitMs: number): Promise<number> {
  const began = performance.now();
  for (;;) {
    if (await fixture.store.read().catch(() => null)) return performance.now() - began;
    if (performance.now() - began > limitMs) throw new Error(`no answer within ${limitMs} ms`);
  }
}

test('every request to a frozen etcd ends as unknown within its bound, and works again after the thaw', async () => {
  await started(1);
  const me = await fixture.stand('us-east', 'e1');
  const { token, view } = await fixture.acquire(me);
  const { store } = fixture;
  const requests: Record<string, () => Promise<unknown>> = {
    grantLease: () => store.grantLease(5_000),
    keepAlive: () => store.keepAlive(me.leaseId),
    revokeLease: () => store.revokeLease('7'),
    read: () => store.read(),
    putCandidate: () => store.putCandidate(me),
    changeHolder: () => store.changeHolder(fixture.changeTo(me, view, { cause: 'listener-restart' })),
    release: () => store.release({ id: 'r', view, token, why: '', by: '' }),
    deleteHolder: () => store.deleteHolder(1),
    abortSwitch: () => store.abortSwitch('s', 'x'),
    isAborted: () => store.isAborted('s'),
    readReceipt: () => store.readReceipt('s'),
    listReceipts: () => store.listReceipts(1),
    completeReceipt: () => store.completeReceipt('s', 'x'),
    trimReceipts: () => store.trimReceipts(1),
    readHolder: () => new GuardReader(fixture.client).readHolder(fixture.lock),
  };
  stack.etcd.member(0).pause();
  for (const [name, request] of Object.entries(requests)) {
    const began = performance.now();
    const error: unknown = await request().catch((e: unknown) => e);
    const tookMs = performance.now() - began;
    expect([name, error instanceof UnknownOutcomeError]).toEqual([name, true]);
    expect((error as Error).message).toContain(stack.etcdAddresses[0]);
    expect([name, tookMs < timeoutMs + 200]).toEqual([name, true]);
  }
  stack.etcd.member(0).resume();
  expect(await answering(3_000)).toBeLessThan(1_500);
});

test('the watch survives a freeze and a restart, and reports each return', async () => {
  await started(1);
  const hints: WatchHint[] = [];
  const watch = fixture.store.watch((hint) => hints.push(hint));
  const told = (what: string, since: number) => eventually(what, 3_000, () => hints.length > since);
  await told('the first hint', 0);

  stack.etcd.member(0).pause();
  await new Promise((resolve) => setTimeout(resolve, 2_500));
  let before = hints.length;
  stack.etcd.member(0).resume();
  await told('the hint after the thaw', before);

  before = hints.length;
  await stack.etcd.member(0).restart();
  const backAt = performance.now();
  await told('the hint after the restart', before);
  expect(performance.now() - backAt).toBeLessThan(1_500);
  await answering(3_000);
  await fixture.putRaw(fixture.keys.holder, '{"region":"us-east","pod":"x","since":"now"}');
  await eventually('the holder’s event', 2_000, () => hints.at(-1)?.holder?.pod === 'x');
  const revisions = hints.map((hint) => hint.revision);
  expect(revisions).toEqual(revisions.toSorted((a, b) => a - b));
  watch.close();
  watch.close();
});

test('a frozen member of three costs at most one request, and the watch leaves it', async () => {
  await started(3);
  const hints: WatchHint[] = [];
  // A client that only watches: no request tells it that the member is frozen.
  const watcher = fixture.other(stack.etcdAddresses, timeoutMs);
  const watch = watcher.store.watch((hint) => hints.push(hint));
  await eventually('the first hint', 2_000, () => hints.length > 0);
  stack.etcd.member(0).pause();
  await answering(5_000);
  // After a possible election nothing is slow any more: the frozen member is not asked again.
  await new Promise((resolve) => setTimeout(resolve, 2_000));
  for (let n = 0; n < 20; n += 1) {
    const began = performance.now();
    await fixture.store.read();
    expect(performance.now() - began).toBeLessThan(timeoutMs / 2);
  }
  await eventually('the watch’s move', 4_000, () => hints.length > 1);
  const before = hints.length;
  await fixture.putRaw(fixture.keys.blocked, '{"why":"x"}');
  await eventually('an event from another member', 2_000, () => hints.length > before);
  watch.close();
  watcher.client.close();
});

test('an etcd that does not run is unknown, in one sentence with its address', async () => {
  await started(1);
  await stack.etcd.member(0).stop();
  const began = performance.now();
  await expect(fixture.store.read()).rejects.toThrow(
    /^etcd gave no answer within \d+ ms when asked to read lock .* \(127\.0\.0\.1:\d+: .*ECONNREFUSED/,
  );
  expect(performance.now() - began).toBeLessThan(timeoutMs + 200);
  await stack.etcd.member(0).start();
  expect(await answering(3_000)).toBeLessThan(1_500);
});

test('users and passwords work, and a wrong password is a refusal', async () => {
  await started(1);
  const endpoints = stack.etcdAddresses;
  const { Etcd3 } = await import('etcd3');
  const admin = new Etcd3({ hosts: endpoints });
  const auth = { username: 'root', password: 'secret' };
  await admin.role('root').create();
  const root = await admin.user('root').create('secret');
  await root.addRole('root');
  await admin.auth.authEnable();
  admin.close();

  const client = new EtcdClient({ endpoints, ...auth });
  const reader = new GuardReader(client);
  expect(await reader.readHolder('orders')).toBeNull();
  const { leaseId } = await client.grantLease(5_000);
  expect(Number((await client.keepAlive(leaseId)).TTL)).toBe(5);
  // A new password, the same as before, ends all logins.
  const changer = new Etcd3({ hosts: endpoints, auth });
  await changer.user('root').setPassword('secret');
  changer.close();
  expect(await reader.readHolder('orders')).toBeNull();
  expect(Number((await client.keepAlive(leaseId)).TTL)).toBe(5);
  // A restarted etcd does not know its simple tokens any more.
  await stack.etcd.member(0).restart();
  await eventuallyAnswers(() => reader.readHolder('orders'));
  await eventuallyAnswers(() => client.keepAlive(leaseId));
  client.close();

  const stranger = new EtcdClient({ endpoints, username: 'root', password: 'wrong' });
  await expect(new GuardReader(stranger).readHolder('orders')).rejects.toThrow(RefusedError);
  stranger.close();
});

async function eventuallyAnswers(ask: () => Promise<unknown>): Promise<void> {
  const began = performance.now();
  for (;;) {
    const error: unknown = await ask().then(
      () => null,
      (e: unknown) => e,
    );
    if (error === null) return;
    if (!(error instanceof UnknownOutcomeError) || performance.now() - began > 5_000) throw error;
  }
}
