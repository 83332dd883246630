import type { ITxnRequest, ITxnResponse } from 'etcd3';
import { LostError, UnknownOutcomeError } from '../../activities/errors';
import { EtcdClient } from '../../src/etcd/etcd-client';
import { EtcdLock } from '../../src/etcd/etcd-lock';
import { GuardReader } from '../../src/etcd/guard-reader';
import type { HolderKey, LockView, WatchHint } from '../../src/pod/lock-store';
import { sharedServers } from '../support/servers';
import { applied, eventually, LockFixture, revisionFrom } from './lock-fixture';

const east = { region: 'us-east', pod: 'east-1' };
const west = { region: 'us-west', pod: 'west-1' };

let fixture: LockFixture;
beforeEach(() => {
  fixture = new LockFixture();
});
afterEach(() => fixture.close());

test('of 20 pods that compete for a free lock exactly one gets it', async () => {
  const pods = Array.from({ length: 20 }, (_, n) => ({ region: 'us-east', pod: `pod-${n}` }));
  await Promise.all(pods.map((pod) => fixture.stand(pod.region, pod.pod)));
  const results = await Promise.all(
    pods.map(async (pod) => fixture.store.changeHolder(fixture.changeTo(pod, await fixture.store.read()))),
  );
  const winners = results.filter((r) => r.outcome === 'applied');
  expect(winners).toHaveLength(1);
  const [winner] = winners.map(applied);
  for (const { view } of results) expect(view.holder?.token).toBe(winner!.token);
  expect(await fixture.store.listReceipts(100)).toHaveLength(1);
});

test('an acquisition shows its token in view, receipt and last', async () => {
  const me = await fixture.stand(east.region, east.pod);
  const result = await fixture.acquire(me);
  const { token, view } = result;
  expect(view.holder).toMatchObject({ ...east, token, leaseId: me.leaseId });
  expect(result.receipt).toMatchObject({ cause: 'first', from: null, to: { ...east, token } });
  const read = await fixture.store.read();
  expect(read.last).toEqual({ receipt: result.receipt, modRevision: token });
  expect(content(read)).toEqual(content(view));
  expect(await fixture.store.readReceipt(result.receipt.id)).toEqual(result.receipt);
  expect(await new GuardReader(fixture.client).readHolder(fixture.lock)).toEqual({
    revision: revisionFrom(read.revision),
    holder: { token, leaseId: me.leaseId },
  });
});

describe('a change decided on an older state is refused, and nothing is written, when meanwhile', () => {
  const paused = JSON.stringify({ who: 'ann', why: 'x', when: 'now' });
  const meanwhile: [string, () => Promise<unknown>][] = [
    ['last was written', () => fixture.putRaw(fixture.keys.last, '{}')],
    ['paused was written', () => fixture.putRaw(fixture.keys.paused, paused)],
    ['blocked was written', () => fixture.putRaw(fixture.keys.blocked, '{"why":"forced"}')],
    [
      'successor was written',
      () => fixture.putRaw(fixture.keys.successor, '{"region":"us-west","switchId":"s"}'),
    ],
    [
      'the new holder’s candidate changed',
      () => fixture.putRaw(fixture.keys.candidate(west.region, west.pod), '{}'),
    ],
    [
      'the new holder’s candidate went away',
      () => fixture.deleteRaw(fixture.keys.candidate(west.region, west.pod)),
    ],
    [
      'the present holder’s candidate changed',
      () => fixture.putRaw(fixture.keys.candidate(east.region, east.pod), '{}'),
    ],
    ['the holder was deleted', () => fixture.deleteRaw(fixture.keys.holder)],
    ['the switch was aborted', () => fixture.store.abortSwitch('s1', 'rolled back')],
  ];
  test.each(meanwhile)('%s', async (_, change) => {
    await fixture.stand(east.region, east.pod);
    await fixture.stand(west.region, west.pod);
    const { view } = await fixture.acquire(east);
    await change();
    const before = await fixture.store.read();
    const result = await fixture.store.changeHolder(fixture.changeTo(west, view, { id: 's1' }));
    expect(result.outcome).toBe('refused');
    expect(content(result.view)).toEqual(content(before));
    expect(content(await fixture.store.read())).toEqual(content(before));
    expect(await fixture.store.readReceipt('s1')).toBeNull();
  });

  test.each(meanwhile.slice(0, 6))('%s (acquiring a free lock)', async (_, change) => {
    await fixture.stand(west.region, west.pod);
    const view = await fixture.store.read();
    await change();
    const before = await fixture.store.read();
    const result = await fixture.store.changeHolder(fixture.changeTo(west, view));
    expect(result.outcome).toBe('refused');
    expect(content(await fixture.store.read())).toEqual(content(before));
  });
});

test('what was there when the decision fell and is deleted meanwhile refuses the change too', async () => {
  await fixture.stand(west.region, west.pod);
  await fixture.putRaw(fixture.keys.successor, '{"region":"us-west","switchId":"s"}');
  const view = await fixture.store.read();
  await fixture.deleteRaw(fixture.keys.successor);
  const result = await fixture.store.changeHolder(fixture.changeTo(west, view));
  expect(result).toMatchObject({ outcome: 'refused', why: expect.stringContaining('successor') as string });
});

test('a refusal by policy needs no round trip and names its reason', async () => {
  await fixture.stand(west.region, west.pod);
  await fixture.putRaw(fixture.keys.blocked, '{"why":"forced by ann"}');
  const view = await fixture.store.read();
  fixture.client.close();
  const result = await fixture.store.changeHolder(fixture.changeTo(west, view));
  expect(result).toEqual({
    outcome: 'refused',
    why: 'blocked (forced by ann): nobody may acquire',
    view,
  });
  fixture = new LockFixture();
});

test('a hand-over is one transaction: the old token ends where the new one begins', async () => {
  await fixture.stand(east.region, east.pod);
  const target = await fixture.stand(west.region, west.pod);
  const { view, token } = await fixture.acquire(east);
  const lastFinishedAt = '2026-01-01T00:00:00.000Z';
  const drainage = { drained: 3, requeued: 7, lastFinishedAt };
  const result = applied(
    await fixture.store.changeHolder(fixture.changeTo(west, view, { id: 's1', ...drainage })),
  );
  expect(result.token).toBeGreaterThan(token);
  expect(result.view.holder).toMatchObject({ ...west, leaseId: target.leaseId, token: result.token });
  expect(result.receipt).toMatchObject({
    ...drainage,
    cause: 'switch',
    from: { ...east, token },
    to: { ...west, token: result.token },
  });
  expect(await fixture.store.readReceipt('s1')).toEqual(result.receipt);
  expect((await fixture.store.deleteHolder(token)).outcome).toBe('refused');
  expect((await fixture.store.read()).holder?.token).toBe(result.token);
});

test('a rehearsed hand-over changes nothing, and would not even without its compares', async () => {
  await fixture.stand(west.region, west.pod);
  await fixture.acquire(await fixture.stand(east.region, east.pod));
  const before = await fixture.store.read();
  const sent: ITxnRequest[] = [];
  const txn = fixture.client.txn.bind(fixture.client);
  jest.spyOn(fixture.client, 'txn').mockImplementation((what, request, safe) => {
    sent.push(request);
    return txn(what, request, safe);
  });
  const change = fixture.changeTo(west, before);
  await fixture.store.rehearse(change);
  expect(content(await fixture.store.read())).toEqual(content(before));
  const written = sent.flatMap(({ success = [] }) =>
    success.flatMap(({ request_put: put }) => (put ? [String(put.key)] : [])),
  );
  expect(written).toHaveLength(3);
  for (const key of written) expect(key.startsWith(fixture.keys.prefix)).toBe(false);
  jest.restoreAllMocks();
  // The real one is still possible.
  expect(await fixture.store.changeHolder(change)).toMatchObject({ outcome: 'applied' });
});

test('asked again under the same id, a hand-over answers the same, also when much happened since', async () => {
  await fixture.stand(east.region, east.pod);
  await fixture.stand(west.region, west.pod);
  const { view } = await fixture.acquire(east);
  const change = fixture.changeTo(west, view, { id: 's1' });
  const first = applied(await fixture.store.changeHolder(change));
  expect(applied(await fixture.store.changeHolder(change)).token).toBe(first.token);
  const fresh = { ...change, view: await fixture.store.read() };
  expect(applied(await fixture.store.changeHolder(fresh)).receipt).toEqual(first.receipt);
  await fixture.store.changeHolder(fixture.changeTo(east, await fixture.store.read()));
  expect(applied(await fixture.store.changeHolder(change)).token).toBe(first.token);
  expect((await fixture.store.read()).holder).toMatchObject(east);
});

test('the spare goes on under a new token of the same lease', async () => {
  const me = await fixture.stand(east.region, east.pod);
  const { token, view } = await fixture.acquire(east);
  const change = fixture.changeTo(east, view, { cause: 'listener-restart' });
  const again = applied(await fixture.store.changeHolder(change));
  expect(again.token).toBeGreaterThan(token);
  expect(again.view.holder?.leaseId).toBe(me.leaseId);
  const second = await fixture.store.changeHolder({ ...change, id: 'another' });
  expect(second.outcome).toBe('refused');
});

test('a holder that puts its candidate again while holding makes a hand-over read before impossible', async () => {
  const me = await fixture.stand(east.region, east.pod);
  await fixture.stand(west.region, west.pod);
  const { view, token } = await fixture.acquire(east);
  const put = await fixture.store.putCandidate(me, { whileHolding: token });
  expect(put.outcome).toBe('applied');
  const late = await fixture.store.changeHolder(fixture.changeTo(west, view));
  expect(late.outcome).toBe('refused');
  expect(late.view.holder?.token).toBe(token);
  const now = fixture.changeTo(west, put.view);
  expect((await fixture.store.changeHolder(now)).outcome).toBe('applied');
  const tooLate = await fixture.store.putCandidate(me, { whileHolding: token });
  expect(tooLate).toMatchObject({ outcome: 'refused', view: { holder: west } });
});

test('a change under a lease that has gone is refused', async () => {
  const me = await fixture.stand(east.region, east.pod);
  const view = await fixture.store.read();
  // The candidate key is put back under no lease, so that only the lease itself is missing.
  const target = view.candidates[0]!;
  await fixture.store.revokeLease(me.leaseId);
  await fixture.putRaw(fixture.keys.candidate(east.region, east.pod), '{}');
  const [present] = (await fixture.store.read()).candidates;
  const pretended = { ...view, candidates: [{ ...target, modRevision: present!.modRevision }] };
  const result = await fixture.store.changeHolder(fixture.changeTo(east, pretended));
  expect(result).toMatchObject({
    outcome: 'refused',
    why: expect.stringContaining('lease not found') as string,
    view: { holder: null },
  });
});

test('a lease that runs out takes holder and candidate with it in one step', async () => {
  await fixture.stand(east.region, east.pod, 5_000);
  const { token } = await fixture.acquire(east);
  const hints: WatchHint[] = [];
  const watch = fixture.store.watch((hint) => hints.push(hint));
  await eventually('the lease’s end', () => hints.some((hint) => hint.holder === null), 30_000);
  watch.close();
  const view = await fixture.store.read();
  expect(view.holder).toBeNull();
  expect(view.candidates).toEqual([]);
  expect(view.last?.modRevision).toBe(token);
});

test('extending a lease tells what is left, and that a revoked one is lost', async () => {
  const leaseId = await fixture.lease(20_000);
  const { ttlMs, raftTerm } = await fixture.store.keepAlive(leaseId);
  expect(ttlMs).toBe(20_000);
  expect(raftTerm).toBe((await fixture.store.read()).raftTerm);
  await fixture.store.revokeLease(leaseId);
  await fixture.store.revokeLease(leaseId);
  await expect(fixture.store.keepAlive(leaseId)).rejects.toThrow(LostError);
  const orphan = fixture.candidateOf(east.region, east.pod, leaseId);
  await expect(fixture.store.putCandidate(orphan)).rejects.toThrow(LostError);
});

test('a release names a successor region, which alone may acquire until the window ends', async () => {
  const me = await fixture.stand(east.region, east.pod);
  await fixture.stand(west.region, west.pod);
  const { token, view } = await fixture.acquire(east);
  const release = {
    id: 'rel-1',
    view,
    token,
    why: 'gave up',
    by: 'test',
    towards: { region: 'us-west', windowMs: 30_000 },
    candidate: { ...me, state: 'unhealthy' as const, standing: false },
    lastFinishedAt: '2026-01-01T00:00:00.000Z',
  };
  const result = applied(await fixture.store.release(release));
  expect(result.view).toMatchObject({ holder: null, successor: { region: 'us-west', switchId: 'rel-1' } });
  expect(result.view.candidates.find((c) => c.pod === east.pod)).toMatchObject({
    state: 'unhealthy',
    standing: false,
  });
  expect(result.receipt).toMatchObject({ cause: 'release', from: { ...east, token }, to: null });
  expect(applied(await fixture.store.release(release)).receipt).toEqual(result.receipt);
  expect((await fixture.store.release({ ...release, id: 'rel-2' })).outcome).toBe('refused');

  const again = await fixture.store.putCandidate({ ...me, state: 'ready' });
  expect(again.outcome).toBe('applied');
  const mine = await fixture.store.changeHolder(fixture.changeTo(east, again.view));
  expect(mine).toMatchObject({
    outcome: 'refused',
    why: 'reserved for region us-west by rel-1, not for us-east',
  });
  const taken = await fixture.acquire(west);
  expect(taken.view.successor).toBeNull();
  expect(taken.receipt).toMatchObject({
    cause: 'takeover',
    from: { ...east, token },
    lastFinishedAt: release.lastFinishedAt,
  });
});

test('the successor’s window ends by itself', async () => {
  await fixture.stand(east.region, east.pod);
  const { token, view } = await fixture.acquire(east);
  const towards = { region: 'us-west', windowMs: 1_000 };
  await fixture.store.release({ id: 'r', view, token, why: '', by: '', towards });
  await eventually('the window’s end', async () => (await fixture.store.read()).successor === null);
  expect((await fixture.acquire(east)).view.holder).toMatchObject(east);
});

test('a write of the candidate key that is applied late cannot undo a later one', async () => {
  class SlowClient extends EtcdClient {
    readonly held: (() => Promise<ITxnResponse>)[] = [];
    slow = false;

    override txn(...args: Parameters<EtcdClient['txn']>): Promise<ITxnResponse> {
      if (!this.slow) return super.txn(...args);
      this.held.push(() => super.txn(...args));
      return Promise.reject(new UnknownOutcomeError('on its way'));
    }
  }
  const client = new SlowClient({ endpoints: sharedServers().etcd });
  const store = new EtcdLock(client, fixture.lock, { report: () => undefined });
  const me = fixture.candidateOf(east.region, east.pod, await fixture.lease());
  await store.putCandidate({ ...me, state: 'warming' });
  client.slow = true;
  await expect(store.putCandidate(me)).rejects.toThrow(UnknownOutcomeError);
  client.slow = false;
  const draining = { ...me, state: 'draining' as const };
  expect((await store.putCandidate(draining)).outcome).toBe('applied');
  expect((await client.held[0]!()).succeeded).toBe(false);
  expect((await store.read()).candidates).toMatchObject([{ state: 'draining' }]);
  // Another store, with an older idea of the key, notices and still gets its write in.
  expect((await fixture.store.putCandidate(me)).outcome).toBe('applied');
  expect((await store.putCandidate(draining)).view.candidates).toMatchObject([{ state: 'draining' }]);
  client.close();
});

test('values that cannot be read are reported once, and taken for what is safest', async () => {
  const { keys } = fixture;
  await fixture.stand(west.region, west.pod);
  for (const key of [keys.holder, keys.last, keys.successor, keys.blocked, keys.paused])
    await fixture.putRaw(key, '{"half":');
  await fixture.putRaw(keys.candidate(east.region, east.pod), '{"state":"splendid"}');
  await fixture.putRaw(`${keys.candidates}nobody`, '{}');
  await fixture.store.read();
  const view = await fixture.store.read();
  expect(view.holder).toMatchObject({ pod: '(unreadable)', leaseId: '0' });
  expect(view.last?.receipt).toMatchObject({ id: '(unreadable)', to: null });
  expect(view.successor?.region).toBe('(unreadable)');
  expect(view.blocked?.why).toContain('is not JSON');
  expect(view.paused?.who).toBe('(unreadable)');
  expect(view.candidates).toMatchObject([{ ...east, state: 'unhealthy', standing: false }, west]);
  expect(fixture.problems).toHaveLength(7);
  for (const cause of ['takeover', 'switch', 'shutdown'] as const)
    expect((await fixture.store.changeHolder(fixture.changeTo(west, view, { cause }))).outcome).toBe(
      'refused',
    );
  expect((await fixture.store.deleteHolder(view.holder!.token)).outcome).toBe('applied');
});

test('an abort and a hand-over exclude each other, and the first reason stays', async () => {
  await fixture.stand(east.region, east.pod);
  await fixture.stand(west.region, west.pod);
  const { view } = await fixture.acquire(east);
  expect(await fixture.store.isAborted('s1')).toBe(false);
  await fixture.store.abortSwitch('s1', 'first');
  await fixture.store.abortSwitch('s1', 'second');
  expect(await fixture.store.isAborted('s1')).toBe(true);
  expect(await fixture.store.changeHolder(fixture.changeTo(west, view, { id: 's1' }))).toMatchObject({
    outcome: 'refused',
    why: 'switch s1 has been aborted',
  });
  expect((await fixture.store.changeHolder(fixture.changeTo(west, view, { id: 's2' }))).outcome).toBe(
    'applied',
  );
});

test('receipts are completed once, listed newest first, and trimmed to the newest', async () => {
  const me = await fixture.stand(east.region, east.pod);
  const ids: string[] = [];
  let { view } = await fixture.acquire(me);
  for (let n = 0; n < 5; n += 1) {
    const lastFinishedAt = '2026-01-01T00:00:00.000Z';
    const change = fixture.changeTo(me, view, { cause: 'listener-restart', lastFinishedAt });
    ids.unshift(change.id);
    ({ view } = applied(await fixture.store.changeHolder(change)));
  }
  const [newest] = ids;
  const completed = await fixture.store.completeReceipt(newest!, '2026-01-01T00:00:00.045Z');
  expect(completed).toMatchObject({ gapMs: 45, to: { token: view.holder!.token } });
  expect(await fixture.store.completeReceipt(newest!, '2026-02-02T00:00:00.000Z')).toEqual(completed);
  expect(await fixture.store.readReceipt(newest!)).toEqual(completed);
  expect(await fixture.store.completeReceipt('nobody', '2026-01-01T00:00:00.000Z')).toBeNull();
  expect((await fixture.store.listReceipts(3)).map((r) => r.id)).toEqual(ids.slice(0, 3));
  // Without the old holder's last message there is no gap, rather than one of zero.
  const first = (await fixture.store.listReceipts(10)).at(-1)!;
  expect(await fixture.store.completeReceipt(first.id, '2026-01-01T00:00:00Z')).toMatchObject({
    gapMs: null,
  });
  await fixture.store.trimReceipts(2);
  expect((await fixture.store.listReceipts(10)).map((r) => r.id)).toEqual(ids.slice(0, 2));
});

test('more receipts than fit into one transaction are trimmed as well', async () => {
  await Promise.all(
    Array.from({ length: 250 }, (_, n) => fixture.putRaw(fixture.keys.receipt(`r${n}`), '{}')),
  );
  await fixture.store.trimReceipts(3);
  const { count } = await fixture.client.range('count', {
    key: Buffer.from(fixture.keys.receipts),
    range_end: Buffer.from(`${fixture.keys.prefix}receipts0`),
    count_only: true,
  });
  expect(Number(count)).toBe(3);
});

test('the watch tells of each change with the holder it carried, and of nothing but hints', async () => {
  const hints: WatchHint[] = [];
  const watch = fixture.store.watch((hint) => hints.push(hint));
  await eventually('the first hint', () => hints.length === 1);
  await fixture.putRaw(fixture.keys.receipt('x'), '{}');
  await fixture.putRaw(fixture.keys.attempt('x'), '1');
  const me = await fixture.stand(east.region, east.pod);
  const { token } = await fixture.acquire(east);
  await eventually('the holder’s event', () => hints.some((hint) => hint.holder));
  await fixture.store.deleteHolder(token);
  await eventually('the deletion’s event', () => hints.some((hint) => hint.holder === null));
  watch.close();
  await fixture.putRaw(fixture.keys.blocked, '{"why":"x"}');
  const holder = hints.find((hint) => hint.holder)?.holder as HolderKey;
  expect(holder).toMatchObject({ ...east, token, leaseId: me.leaseId });
  // Created, candidate, holder, deletion: receipts, attempts and what came after the close are not told.
  expect(hints).toHaveLength(4);
  expect(hints.map((h) => h.revision)).toEqual(hints.map((h) => h.revision).toSorted((a, b) => a - b));
});

/** Without what other tests' writes to the same etcd change. */
function content(view: LockView): LockView {
  return { ...view, revision: 0 };
}
