import { LostError, UnknownOutcomeError } from '../../activities/errors';
import type { EtcdClient } from '../../src/etcd/etcd-client';
import type { EtcdLock } from '../../src/etcd/etcd-lock';
import type { WatchHint } from '../../src/pod/lock-store';
import { LossyProxy } from '../support/lossy-proxy';
import { sharedServers } from '../support/servers';
import { applied, eventually, LockFixture } from './lock-fixture';

const east = { region: 'us-east', pod: 'east-1' };
const west = { region: 'us-west', pod: 'west-1' };

/**
 * What a request through the proxy may take: long enough for one that is answered on a machine that stalls, and less
 * than half of what gRPC's own pings need to find out that a connection is dead (7.5 s).
 */
const timeoutMs = 3_000;

let fixture: LockFixture;
let proxy: LossyProxy;
let far: { client: EtcdClient; store: EtcdLock };
beforeEach(async () => {
  fixture = new LockFixture();
  proxy = await LossyProxy.start(sharedServers().etcd[0]!);
  far = fixture.other([proxy.address], timeoutMs);
  // The first one opens the connections, which may take long on a busy machine.
  for (let attempt = 0; attempt < 10; attempt += 1) if (await far.store.read().catch(() => null)) return;
});
afterEach(async () => {
  far.client.close();
  await proxy.close();
  await fixture.close();
});

test('a hand-over that was applied but not answered is unknown; putting the candidate again shows the truth', async () => {
  const me = await fixture.stand(east.region, east.pod);
  await fixture.stand(west.region, west.pod);
  const { token, view } = await fixture.acquire(east);
  proxy.swallowAnswers();
  const began = performance.now();
  const change = fixture.changeTo(west, view, { id: 's1' });
  await expect(far.store.changeHolder(change)).rejects.toThrow(UnknownOutcomeError);
  expect(performance.now() - began).toBeLessThan(timeoutMs + 5_000);
  expect((await fixture.store.read()).holder).toMatchObject(west);

  proxy.cut();
  proxy.deliverAnswers();
  const settled = await far.store.putCandidate(me, { whileHolding: token });
  expect(settled).toMatchObject({ outcome: 'refused', view: { holder: west } });
  expect(applied(await far.store.changeHolder(change)).token).toBe(settled.view.holder?.token);
});

test('a hand-over that has not arrived yet cannot be applied any more once the candidate was put again', async () => {
  const me = await fixture.stand(east.region, east.pod);
  await fixture.stand(west.region, west.pod);
  const { token, view } = await fixture.acquire(east);
  const settled = await fixture.store.putCandidate(me, { whileHolding: token });
  expect(settled.outcome).toBe('applied');
  // The late one arrives now: it was built from what was read before.
  const late = await far.store.changeHolder(fixture.changeTo(west, view, { id: 's1' }));
  expect(late.outcome).toBe('refused');
  expect((await fixture.store.read()).holder).toMatchObject({ ...east, token });
});

test('a write whose connection breaks before the answer is sent once only', async () => {
  const key = Buffer.from(fixture.keys.last);
  const success = [{ request_put: { key, value: Buffer.from('{}') } }];
  proxy.swallowAnswers();
  const outcome = far.client.txn('write', { success }).catch((error: unknown) => error);
  const version = async () => (await fixture.client.range('look', { key })).kvs[0]?.version;
  await eventually('the write', async () => (await version()) !== undefined);
  // There is time left to send it again, and the new connection would answer.
  proxy.deliverAnswers();
  proxy.cut();
  expect(await outcome).toBeInstanceOf(UnknownOutcomeError);
  await new Promise((resolve) => setTimeout(resolve, 500));
  expect(await version()).toBe('1');
});

test('a read whose connection breaks before the answer is sent again', async () => {
  proxy.swallowAnswers();
  const read = far.store.read();
  await new Promise((resolve) => setTimeout(resolve, 50));
  proxy.deliverAnswers();
  proxy.cut();
  expect((await read).holder).toBeNull();
});

test('a release without an answer is repeated until it is definite, and answers as the first would have', async () => {
  await fixture.stand(east.region, east.pod);
  const { token, view } = await fixture.acquire(east);
  const release = { id: 'r1', view, token, why: 'x', by: 'test' };
  proxy.swallowAnswers();
  await expect(far.store.release(release)).rejects.toThrow(UnknownOutcomeError);
  proxy.cut();
  proxy.deliverAnswers();
  const again = applied(await far.store.release(release));
  expect(again.receipt).toMatchObject({ id: 'r1', from: { ...east, token } });
  expect(again.view.holder).toBeNull();
  const now = await fixture.store.read();
  expect(again.token).toBe(now.last?.modRevision);
  // Also when the pod has read meanwhile that it holds no longer.
  const fresh = applied(await far.store.release({ ...release, view: now }));
  expect([fresh.token, fresh.receipt]).toEqual([again.token, again.receipt]);
});

test('the late answer to one extension is never taken for the answer to the next', async () => {
  const leaseId = await fixture.lease(30_000);
  await far.store.keepAlive(leaseId);
  proxy.swallowAnswers();
  await expect(far.store.keepAlive(leaseId)).rejects.toThrow(UnknownOutcomeError);
  await fixture.store.revokeLease(leaseId);
  proxy.deliverAnswers();
  proxy.cut();
  await expect(far.store.keepAlive(leaseId)).rejects.toThrow(LostError);
});

test('a connection that stays open but silent is replaced after one request', async () => {
  proxy.silencePresentConnections();
  await expect(far.store.read()).rejects.toThrow(/no answer within \d+ ms when asked to read lock/);
  // On the old connection this one would run out of time as well, before gRPC's own pings found out.
  await expect(far.store.read()).resolves.toBeDefined();
});

test('a watch whose connection stays open but silent goes on over a new one', async () => {
  const hints: WatchHint[] = [];
  const watch = far.store.watch((hint) => hints.push(hint));
  try {
    await eventually('the first hint', () => hints.length > 0);
    proxy.silencePresentConnections();
    await fixture.putRaw(fixture.keys.blocked, '{"why":"x"}');
    const { revision } = await fixture.store.read();
    await eventually('the hint after the reconnect', () => hints.length > 1);
    expect(hints.at(-1)?.revision).toBeGreaterThanOrEqual(revision);
  } finally {
    watch.close();
  }
});
