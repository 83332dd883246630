import type { ICompare } from 'etcd3';
import fc from 'fast-check';
import { buildHolderTransaction, whyNotChange } from '../../src/etcd/holder-transaction';
import { LockKeys } from '../../src/etcd/lock-keys';
import type { CandidateKey, HolderChange, LockView } from '../../src/pod/lock-store';

const keys = new LockKeys('orders');
const at = '2026-01-01T00:00:00.000Z';
const pods = [
  { region: 'east', pod: 'e1' },
  { region: 'east', pod: 'e2' },
  { region: 'west', pod: 'w1' },
];

const receipt = (to: { region: string; pod: string } | null) => ({
  id: 'r0',
  lock: 'orders',
  cause: 'switch' as const,
  why: '',
  by: '',
  from: { region: 'east', pod: 'e9', token: 3 },
  to: to && { ...to, token: 5 },
  at,
  drained: null,
  requeued: null,
  lastFinishedAt: at,
  firstStartedAt: null,
  gapMs: null,
});

const revision = fc.integer({ min: 1, max: 1_000 });
const maybe = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: null });
const candidates: fc.Arbitrary<CandidateKey[]> = fc
  .tuple(
    ...pods.map((name) =>
      maybe(
        fc.record({
          region: fc.constant(name.region),
          pod: fc.constant(name.pod),
          state: fc.constantFrom('ready', 'ready', 'ready', 'warming', 'draining', 'unhealthy'),
          standing: fc.boolean(),
          since: fc.constant(at),
          version: fc.constant('1'),
          leaseId: fc.constant(`lease-${name.pod}`),
          modRevision: revision,
        }),
      ),
    ),
  )
  .map((list) => list.filter((c) => c !== null));
const views: fc.Arbitrary<LockView> = fc.record({
  revision: fc.constant(2_000),
  raftTerm: fc.constant(2),
  holder: maybe(
    fc
      .record({ who: fc.constantFrom(...pods), token: revision })
      .map(({ who, token }) => ({ ...who, since: at, leaseId: `lease-${who.pod}`, token })),
  ),
  last: maybe(
    fc
      .record({ to: maybe(fc.constantFrom(...pods)), modRevision: revision })
      .map(({ to, modRevision }) => ({ receipt: receipt(to), modRevision })),
  ),
  candidates,
  successor: maybe(
    fc.record({
      region: fc.constantFrom('east', 'west'),
      switchId: fc.constant('s'),
      modRevision: revision,
    }),
  ),
  blocked: maybe(fc.record({ why: fc.constant('forced'), leaseId: fc.constant('0'), modRevision: revision })),
  paused: maybe(
    fc.record({
      who: fc.constant('ann'),
      why: fc.constant('x'),
      when: fc.constant(at),
      modRevision: revision,
    }),
  ),
  flap: fc.constant({ tripped: null, acked: null }),
  cordons: fc.uniqueArray(
    fc.record({
      region: fc.constantFrom('east', 'west'),
      who: fc.constant('ann'),
      why: fc.constant('x'),
      when: fc.constant(at),
      modRevision: revision,
    }),
    { selector: ({ region }) => region, maxLength: 2 },
  ),
});
const changes: fc.Arbitrary<HolderChange> = fc.record({
  id: fc.constant('s1'),
  view: views,
  to: fc.constantFrom(...pods),
  cause: fc.constantFrom('first', 'takeover', 'switch', 'shutdown', 'listener-restart'),
  why: fc.constant('why'),
  by: fc.constant('by'),
});

/** What etcd holds in this view: key to mod revision. */
function stored(view: LockView): Map<string, number> {
  const map = new Map<string, number>();
  if (view.holder) map.set(keys.holder, view.holder.token);
  for (const part of ['last', 'paused', 'blocked', 'successor'] as const)
    if (view[part]) map.set(keys[part], view[part].modRevision);
  for (const c of view.candidates) map.set(keys.candidate(c.region, c.pod), c.modRevision);
  for (const c of view.cordons) map.set(keys.cordon(c.region), c.modRevision);
  return map;
}

/** etcd's own rule: all compares must hold. */
function holds(compares: ICompare[], store: Map<string, number>): boolean {
  return compares.every((compare) => {
    expect([compare.target, compare.result]).toEqual(['Mod', 'Equal']);
    return (store.get(String(compare.key)) ?? 0) === compare.mod_revision;
  });
}

test('a change applies to the state that it was decided on, and to no other', () => {
  fc.assert(
    fc.property(changes, fc.boolean(), (change, remove) => {
      const { view, to } = change;
      fc.pre(view.candidates.some((c) => c.pod === to.pod));
      const { compare } = buildHolderTransaction(keys, change, at).request;
      expect(holds(compare!, stored(view))).toBe(true);
      const dependsOn = [
        keys.holder,
        keys.last,
        keys.paused,
        keys.blocked,
        keys.successor,
        keys.cordon(to.region),
        keys.candidate(to.region, to.pod),
        keys.aborted('s1'),
        keys.receipt('s1'),
        ...(view.holder ? [keys.candidate(view.holder.region, view.holder.pod)] : []),
      ];
      for (const key of dependsOn) {
        const store = stored(view);
        if (remove && store.has(key)) store.delete(key);
        else store.set(key, (store.get(key) ?? 0) + 1);
        expect([key, holds(compare!, store)]).toEqual([key, false]);
      }
    }),
    { numRuns: 500 },
  );
});

test('it puts holder under the new holder’s lease, last and receipt, deletes successor, and writes no key twice', () => {
  fc.assert(
    fc.property(changes, (change) => {
      fc.pre(change.view.candidates.some((c) => c.pod === change.to.pod));
      const { success, failure } = buildHolderTransaction(keys, change, at).request;
      const puts = success!.flatMap((o) => o.request_put ?? []);
      expect(puts.map((p) => [String(p.key), p.lease])).toEqual([
        [keys.holder, `lease-${change.to.pod}`],
        [keys.last, undefined],
        [keys.receipt('s1'), undefined],
      ]);
      const deleted = success!.flatMap((o) => o.request_delete_range ?? []).map((d) => String(d.key));
      expect(deleted).toEqual(change.view.successor ? [keys.successor] : []);
      expect(failure!.every((o) => o.request_range)).toBe(true);
    }),
  );
});

test('the policy lets a change through only when nothing speaks against it', () => {
  fc.assert(
    fc.property(changes, (change) => {
      const { view, to, cause } = change;
      const why = whyNotChange(change);
      const candidate = view.candidates.find((c) => c.pod === to.pod);
      const acquire = cause === 'first' || cause === 'takeover';
      const restart = cause === 'listener-restart';
      const allowed =
        candidate !== undefined &&
        view.blocked === null &&
        (view.successor === null || view.successor.region === to.region) &&
        (view.holder === null) === acquire &&
        (view.holder?.pod === to.pod) === restart &&
        (restart || (candidate.state === 'ready' && candidate.standing)) &&
        (restart || !view.cordons.some((c) => c.region === to.region)) &&
        (restart || !view.paused || (cause === 'shutdown' && view.holder?.region === to.region));
      expect([why, why === null]).toEqual([why, allowed]);
    }),
    { numRuns: 1_000 },
  );
});

const candidate = (name: { region: string; pod: string }, more: Partial<CandidateKey> = {}) => ({
  ...name,
  state: 'ready' as const,
  standing: true,
  since: at,
  version: '1',
  leaseId: `lease-${name.pod}`,
  modRevision: 7,
  ...more,
});
const free: LockView = {
  revision: 100,
  raftTerm: 2,
  holder: null,
  last: null,
  candidates: pods.map((name) => candidate(name)),
  successor: null,
  blocked: null,
  paused: null,
  cordons: [],
  flap: { tripped: null, acked: null },
};
const held: LockView = {
  ...free,
  holder: { ...pods[0]!, since: at, leaseId: 'lease-e1', token: 50 },
};
const paused = { who: 'ann', why: 'maintenance', when: at, modRevision: 9 };
const ask = (view: LockView, to: number, cause: HolderChange['cause']) =>
  whyNotChange({ id: 's1', view, to: pods[to]!, cause, why: '', by: '' });

test.each<[string, string | null]>([
  [ask(free, 0, 'first')!, null],
  [ask(held, 0, 'takeover')!, 'east/e1 holds the lock under token 50'],
  [ask(free, 2, 'switch')!, 'nobody holds the lock, so it cannot change hands by switch'],
  [ask(held, 2, 'switch')!, null],
  [ask(held, 0, 'switch')!, 'east/e1 already holds the lock under token 50'],
  [ask(held, 0, 'listener-restart')!, null],
  [ask(held, 2, 'listener-restart')!, 'west/w1 cannot begin a new tenure in place: east/e1 holds the lock'],
  [
    ask({ ...free, paused }, 0, 'takeover')!,
    `paused by ann since ${at} (maintenance): no takeover to east/e1`,
  ],
  [ask({ ...held, paused }, 2, 'switch')!, `paused by ann since ${at} (maintenance): no switch to west/w1`],
  [
    ask({ ...held, paused }, 2, 'shutdown')!,
    `paused by ann since ${at} (maintenance): no shutdown to west/w1`,
  ],
  [ask({ ...held, paused }, 1, 'shutdown')!, null],
  [ask({ ...held, paused }, 0, 'listener-restart')!, null],
  [
    ask({ ...free, blocked: { why: 'forced release', leaseId: '0', modRevision: 8 } }, 0, 'takeover')!,
    'blocked (forced release): nobody may acquire',
  ],
  [
    ask({ ...free, successor: { region: 'west', switchId: 's0', modRevision: 8 } }, 0, 'takeover')!,
    'reserved for region west by s0, not for east',
  ],
  [ask({ ...free, successor: { region: 'west', switchId: 's0', modRevision: 8 } }, 2, 'takeover')!, null],
  [ask({ ...free, candidates: [] }, 0, 'first')!, 'east/e1 is not a candidate'],
  [
    ask({ ...free, candidates: [candidate(pods[0]!, { state: 'draining' })] }, 0, 'first')!,
    'east/e1 is draining, not ready',
  ],
  [
    ask({ ...free, candidates: [candidate(pods[0]!, { standing: false })] }, 0, 'first')!,
    'east/e1 is ready but not standing',
  ],
  [ask({ ...held, candidates: [candidate(pods[0]!, { state: 'unhealthy' })] }, 0, 'listener-restart')!, null],
  [
    ask({ ...held, candidates: [candidate(pods[0]!, { leaseId: 'other' })] }, 0, 'listener-restart')!,
    'east/e1 holds the lock under lease lease-e1, but its candidate has lease other',
  ],
])('it answers %j', (answer, expected) => {
  expect(answer).toBe(expected);
});

test('the receipt names who held before, also after a release, and keeps what the gap needs', () => {
  const built = (view: LockView) =>
    buildHolderTransaction(keys, { id: 's1', view, to: pods[2]!, cause: 'takeover', why: 'w', by: 'b' }, at)
      .receipt;
  expect(built(free)).toMatchObject({ cause: 'first', from: null, lastFinishedAt: null });
  const crashed = built({ ...free, last: { receipt: receipt(pods[0]!), modRevision: 5 } });
  expect(crashed).toMatchObject({ cause: 'takeover', from: { ...pods[0], token: 5 }, lastFinishedAt: null });
  const released = built({ ...free, last: { receipt: receipt(null), modRevision: 5 } });
  expect(released).toMatchObject({
    from: { region: 'east', pod: 'e9', token: 3 },
    lastFinishedAt: at,
  });
});
