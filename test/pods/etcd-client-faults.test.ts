import { RefusedError, UnknownOutcomeError } from '../../activities/errors';
import { startDevStack, type DevStack } from '../../src/dev/dev-stack';
import { EtcdClient } from '../../src/etcd/etcd-client';
import { GuardReader } from '../../src/etcd/guard-reader';
import { RangeSession } from '../../src/etcd/range-session';
import type { WatchHint } from '../../src/pod/lock-store';
import { eventually, LockFixture } from '../etcd/lock-fixture';

const timeoutMs = 500;
/**
 * Within this a request has ended by its own bound, also on a machine that stalls: without one it would wait for gRPC's
 * pings (7.5 s) or for ever.
 */
const boundMs = timeoutMs + 5_000;
/** Reconnecting with gRPC's usual back-off could take minutes after an outage. */
const backMs = 20_000;
let stack: DevStack;
const patientMs = 10_000;
/** With time to answer; `impatient` is the same lock through a client whose requests are short. */
let fixture: LockFixture;
let impatient: ReturnType<LockFixture['other']>;

const started = async (members: number) => {
  stack = await startDevStack({ servers: ['etcd'], etcdMembers: members });
  fixture = new LockFixture(stack.etcdAddresses, patientMs);
  impatient = fixture.other(stack.etcdAddresses, timeoutMs);
  await answering();
};
afterEach(async () => {
  impatient.client.close();
  fixture.client.close();
  await stack.stop();
});

/** Returns when a short request has an answer. */
const answering = (): Promise<void> =>
  eventually('an answer', async () => (await impatient.store.read().catch(() => null)) !== null, backMs);

test('every request to a frozen etcd ends as unknown within its bound, and works again after the thaw', async () => {
  await started(1);
  const me = await fixture.stand('us-east', 'e1');
  const { token, view } = await fixture.acquire(me);
  const { client, store } = impatient;
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
    readHolder: () => new GuardReader(client).readHolder(fixture.lock),
  };
  await stack.etcd.member(0).pause();
  for (const [name, request] of Object.entries(requests)) {
    const began = performance.now();
    const error: unknown = await request().catch((e: unknown) => e);
    const tookMs = performance.now() - began;
    expect([name, error instanceof UnknownOutcomeError]).toEqual([name, true]);
    expect((error as Error).message).toContain(stack.etcdAddresses[0]);
    expect([name, tookMs < boundMs]).toEqual([name, true]);
  }
  stack.etcd.member(0).resume();
  await answering();
});

test('the watch survives a freeze and a restart, and reports each return', async () => {
  await started(1);
  const hints: WatchHint[] = [];
  const watch = impatient.store.watch((hint) => hints.push(hint));
  const told = (what: string, since: number) => eventually(what, () => hints.length > since, backMs);
  await told('the first hint', 0);

  await stack.etcd.member(0).pause();
  await new Promise((resolve) => setTimeout(resolve, 2_500));
  let before = hints.length;
  stack.etcd.member(0).resume();
  await told('the hint after the thaw', before);

  before = hints.length;
  await stack.etcd.member(0).restart();
  await told('the hint after the restart', before);
  await answering();
  await fixture.putRaw(fixture.keys.holder, '{"region":"us-east","pod":"x","since":"now"}');
  await eventually('the holder’s event', () => hints.at(-1)?.holder?.pod === 'x');
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
  await eventually('the first hint', () => hints.length > 0);
  await stack.etcd.member(0).pause();
  // A first request at a frozen member takes half of its time before the next member is asked.
  const askedAtOnce = async (): Promise<boolean> => {
    const began = performance.now();
    await fixture.store.read();
    return performance.now() - began < patientMs / 4;
  };
  // After a possible election nothing is slow any more: the frozen member is not asked again.
  await eventually('a quick answer', () => askedAtOnce().catch(() => false), 60_000);
  for (let n = 0; n < 20; n += 1) expect(await askedAtOnce()).toBe(true);
  await eventually('the watch’s move', () => hints.length > 1, backMs);
  const before = hints.length;
  await fixture.putRaw(fixture.keys.blocked, '{"why":"x"}');
  await eventually('an event from another member', () => hints.length > before);
  watch.close();
  watcher.client.close();
}, 120_000);

test('an etcd that does not run is unknown, in one sentence with its address', async () => {
  await started(1);
  await stack.etcd.member(0).stop();
  const began = performance.now();
  await expect(impatient.store.read()).rejects.toThrow(
    /^etcd gave no answer within \d+ ms when asked to read lock .* \(127\.0\.0\.1:\d+: .*ECONNREFUSED/,
  );
  expect(performance.now() - began).toBeLessThan(boundMs);
  await stack.etcd.member(0).start();
  await answering();
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

  // Each login costs etcd a bcrypt.
  const patience = { requestTimeoutMs: 10_000 };
  const client = new EtcdClient({ endpoints, ...auth }, patience);
  const reader = new GuardReader(client);
  expect(await reader.readHolder('orders')).toMatchObject({ holder: null });
  const { leaseId } = await client.grantLease(60_000);
  expect(Number((await client.keepAlive(leaseId)).TTL)).toBe(60);
  // A new password, the same as before, ends all logins.
  const changer = new Etcd3({ hosts: endpoints, auth });
  await changer.user('root').setPassword('secret');
  changer.close();
  expect(await reader.readHolder('orders')).toMatchObject({ holder: null });
  expect(Number((await client.keepAlive(leaseId)).TTL)).toBe(60);
  // A restarted etcd does not know its simple tokens any more.
  await stack.etcd.member(0).restart();
  await eventuallyAnswers(() => reader.readHolder('orders'));
  await eventuallyAnswers(() => client.keepAlive(leaseId));
  client.close();

  const stranger = new EtcdClient({ endpoints, username: 'root', password: 'wrong' }, patience);
  await expect(new GuardReader(stranger).readHolder('orders')).rejects.toThrow(RefusedError);
  stranger.close();
});

test('a member that has lost its cluster gives the guard’s session no answer, not an old one', async () => {
  await started(3);
  const session = new RangeSession({ endpoints: [stack.etcdAddresses[2] as string] }, timeoutMs);
  const frame = RangeSession.request(Buffer.from(fixture.keys.holder));
  await eventually('the member answers', async () => (await session.read(frame))?.owner === null);
  for (const index of [0, 1]) await stack.etcd.member(index).pause();
  expect(await session.read(frame)).toBeUndefined();
  for (const index of [0, 1]) stack.etcd.member(index).resume();
  await eventually('the member answers again', async () => (await session.read(frame))?.owner === null);
  session.close();
});

async function eventuallyAnswers(ask: () => Promise<unknown>): Promise<void> {
  const began = performance.now();
  for (;;) {
    const error: unknown = await ask().then(
      () => null,
      (e: unknown) => e,
    );
    if (error === null) return;
    if (!(error instanceof UnknownOutcomeError) || performance.now() - began > 30_000) throw error;
  }
}
