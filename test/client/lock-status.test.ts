import type { RegionStatus } from '../../workflows/contract';
import { lockStatus } from '../../src/client/lock-status';
import { statusText } from '../../src/cli/status-text';
import type { LockView } from '../../src/pod/lock-store';

const now = Date.parse('2026-01-01T00:10:00.000Z');
const holder = { region: 'us-east', pod: 'e1-aa', since: '2026-01-01T00:00:00.000Z', leaseId: '1', token: 7 };
const receipt = {
  id: 'x',
  lock: 'orders',
  cause: 'takeover' as const,
  why: 'the lease of w1-bb ran out',
  by: 'e1-aa',
  from: { region: 'us-west', pod: 'w1-bb', token: 3 },
  to: { region: 'us-east', pod: 'e1-aa', token: 7 },
  at: '2026-01-01T00:00:00.000Z',
  drained: null,
  requeued: null,
  lastFinishedAt: null,
  firstStartedAt: null,
  gapMs: null,
};
const candidate = { standing: true, since: '', version: '1', leaseId: '1', modRevision: 1 };
const view: LockView = {
  revision: 9,
  raftTerm: 2,
  holder,
  last: { receipt, modRevision: 7 },
  successor: null,
  blocked: null,
  paused: null,
  cordons: [],
  flap: { tripped: null, acked: null },
  candidates: [
    { ...candidate, region: 'us-east', pod: 'e1-aa', state: 'ready' },
    { ...candidate, region: 'us-east', pod: 'e2-bb', state: 'warming' },
  ],
};
const status = (
  region: string,
  phase: RegionStatus['phase'],
  more: Partial<RegionStatus> = {},
): RegionStatus => ({
  lock: 'orders',
  region,
  phase,
  tenure: null,
  why: `${region} is ${phase}`,
  pods: [],
  beat: null,
  lastSwitches: [],
  receipts: [],
  attempts: [],
  runs: 1,
  ...more,
});

test('where a workflow and etcd differ, etcd is right', () => {
  const { regions, holder: held } = lockStatus('orders', { view, ttlLeftMs: 8000 }, [
    { region: 'us-east', reading: status('us-east', 'standby') },
    { region: 'us-west', reading: status('us-west', 'active') },
  ]);
  expect(regions.map(({ region, state }) => [region, state])).toEqual([
    ['us-east', 'active'],
    ['us-west', 'standby'],
  ]);
  expect(held).toMatchObject({ pod: 'e1-aa', token: 7 });
});

test('with Temporal away etcd’s word is shown, and one line says so', () => {
  const lock = lockStatus('orders', { view, ttlLeftMs: 8000 }, [
    { region: 'us-east', reading: { away: 'x' } },
    { region: 'us-west', reading: { away: 'x' } },
  ]);
  const text = statusText({ locks: [lock], temporalAway: 'Temporal at t:7233 does not answer' }, now);
  expect(text).toMatch(/us-east +active +e1-aa +7 +2026-01-01T00:00:00\.000Z \(10m\) +8s +1\/2/);
  expect(text).toMatch(/us-west +standby +- +- +- +- +0\/0/);
  expect(text).toContain(
    'last change  10m ago: takeover us-west → us-east (token 3 → 7): the lease of w1-bb ran out (by e1-aa)',
  );
  expect(text.match(/Temporal at t:7233/g)).toHaveLength(1);
});

test('with etcd away the workflows’ newest tenure is shown as such', () => {
  const tenure = { lock: 'orders', ...holder };
  const lock = lockStatus('orders', { away: 'etcd gave no answer (http://etcd:2379)' }, [
    { region: 'us-east', reading: status('us-east', 'active', { tenure, receipts: [receipt] }) },
    {
      region: 'us-west',
      reading: status('us-west', 'active', { tenure: { ...tenure, region: 'us-west', token: 3 } }),
    },
  ]);
  expect(lock).toMatchObject({ holder: { token: 7 }, last: { id: 'x' }, candidates: null });
  const text = statusText({ locks: [lock], temporalAway: null }, now);
  expect(text).toContain('http://etcd:2379');
  expect(text).toContain("the workflows' word");
});

test('with both away nothing is made up', () => {
  const lock = lockStatus('orders', { away: 'etcd' }, [{ region: 'us-east', reading: { away: 'temporal' } }]);
  expect(lock).toMatchObject({ holder: null, last: null, regions: [{ state: 'unknown', candidates: null }] });
});

test('preferred regions, and those that are never active, are told where there are any', () => {
  const text = (preference?: { order: string[]; never: string[] }): string =>
    statusText(
      { locks: [lockStatus('orders', { view, ttlLeftMs: 1 }, [], preference)], temporalAway: null },
      now,
    );
  expect(text({ order: ['us-east', 'us-west'], never: ['eu'] })).toMatch(
    /preference +us-east, then us-west; never eu$/m,
  );
  expect(text({ order: [], never: ['eu'] })).toMatch(/preference +never eu$/m);
  expect(text()).not.toContain('preference');
});

test('a free, paused or blocked lock is told with its reason', () => {
  const free = {
    ...view,
    holder: null,
    last: null,
    paused: { who: 'anna', why: 'migration', when: '2026-01-01T00:09:00.000Z', modRevision: 1 },
    blocked: { why: 'forced release', leaseId: '0', modRevision: 2 },
  };
  const text = statusText(
    {
      locks: [
        lockStatus('orders', { view: free, ttlLeftMs: null }, [
          { region: 'us-east', reading: 'not-running' },
        ]),
      ],
      temporalAway: null,
    },
    now,
  );
  expect(text).toMatch(/us-east +paused .* its workflow is not running/);
  expect(text).toMatch(/held by +nobody/);
  expect(text).toMatch(/paused +by anna, 1m ago: migration/);
  expect(text).toMatch(/blocked +forced release/);
});
