import { domainFinding } from '../../src/doctor/etcd-checkup';
import { brokenRelations, type Measured, timingFindings } from '../../src/doctor/timing-budget';
import { lockSettings } from '../pod/pod-fixture';

const trip = (ms: number) => ({ best: ms, median: ms, worst: ms });
const near: Measured = { etcd: trip(2), broker: trip(2), temporal: trip(2) };
/** Interval 4,500, margin 1,000, request 1,000: 4,500 ms are left for two extensions. */
const usual = lockSettings('orders', { leaseTtlMs: 10_000, drainLimitMs: 30_000 });

const bad = (settings = usual, measured: Partial<Measured> = {}, graceMs: number | null = null): string[] =>
  timingFindings(settings, { ...near, ...measured }, graceMs)
    .filter(({ verdict }) => verdict !== 'ok')
    .map(({ verdict, why, change }) => `${verdict}: ${why} -> ${change}`);

test('near servers and the defaults hold what is promised', () => {
  expect(bad()).toEqual([]);
});

test.each([
  [899, usual, []],
  // No request is answered within its limit of 1,000 ms, and no read is young enough.
  [1_000, usual, ['requestTimeoutMs', 'verificationMaxAgeMs']],
  [1_124, { ...usual, requestTimeoutMs: 2_000, verificationMaxAgeMs: 5_000 }, []],
  // 4,500 + 4 × 1,125 + 1,000 = 10,000.
  [1_125, { ...usual, requestTimeoutMs: 2_000, verificationMaxAgeMs: 5_000 }, ['leaseTtlMs']],
])('with %s ms at best to etcd, what cannot be safe is %j', (best, settings, expected) => {
  expect(brokenRelations(settings, best).map(({ setting }) => setting)).toEqual(expected);
});

test('what cannot be safe is an error with what to change', () => {
  expect(bad(usual, { etcd: trip(1_000) })).toContainEqual(
    'error: requestTimeoutMs is 1000, and must be above the round trip to etcd, which takes 1000 ms at best: no request would be answered in time -> a longer requestTimeoutMs, or an etcd that is nearer',
  );
});

test('one slow sample is no error', () => {
  expect(bad(usual, { etcd: { best: 2, median: 3, worst: 4_000 } })).toEqual([]);
});

test('a lease too short for an election of etcd is a warning', () => {
  const short = lockSettings('orders', { leaseTtlMs: 3_000, drainLimitMs: 30_000 });
  expect(bad(short)).toEqual([
    expect.stringMatching(
      /^warning: etcd may be away for \d+ ms before a tenure ends.* -> a leaseTtlMs of \d+ or/,
    ),
  ]);
});

test('the grace period is compared with the drain limit', () => {
  expect(bad(usual, {}, 50_000)).toEqual([]);
  expect(bad(usual, {}, 49_000)).toEqual([
    expect.stringMatching(/^warning: a shutdown takes up to 50 s, and the container gives it 49 s/),
  ]);
});

test('an objective below the lease is one that cannot be met', () => {
  const drill = { objectiveMs: null, crashObjectiveMs: 10_999, allowCrash: false };
  expect(bad({ ...usual, drill })).toEqual([expect.stringContaining('above drill.crashObjectiveMs (10999)')]);
  expect(bad({ ...usual, drill: { ...drill, crashObjectiveMs: 11_000 } })).toEqual([]);
});

test('a Temporal or a broker that is far away', () => {
  expect(bad(usual, { temporal: trip(499) })).toEqual([]);
  expect(bad(usual, { temporal: trip(500) })).toEqual([expect.stringMatching(/^warning: .* Temporal/)]);
  expect(bad(usual, { temporal: trip(2_000) })).toEqual([expect.stringMatching(/^error: .* Temporal/)]);
  expect(bad(usual, { broker: trip(2_500) })).toEqual([expect.stringMatching(/^warning: .* broker/)]);
  expect(bad(usual, { etcd: null })).toEqual([expect.stringMatching(/^warning: etcd gave no answer/)]);
});

const members = ['a', 'b', 'c'].map((name, n) => ({ name, peerURLs: [`http://10.0.0.${n}:2380`] }));

test('any one site may be lost, or not', () => {
  expect(domainFinding(members, { a: 'east', b: 'west', c: 'north' })).toMatchObject({ verdict: 'ok' });
  expect(domainFinding(members, { a: 'east', b: 'west', c: 'east' })).toMatchObject({
    verdict: 'error',
    why: 'without east (site) 1 of 3 members are left, and 2 are needed',
  });
  expect(domainFinding(members, { a: 'east', b: 'west' })).toMatchObject({
    verdict: 'warning',
    why: 'etcd.failureDomains says nothing of c',
  });
});

test('without sites, the machines are looked at', () => {
  expect(domainFinding(members, undefined)).toMatchObject({ verdict: 'ok' });
  const together = members.map((each) => ({ ...each, peerURLs: ['http://10.0.0.1:2380'] }));
  expect(domainFinding(together, undefined)).toMatchObject({ verdict: 'warning' });
});
