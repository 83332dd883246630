import { laneText, topFrame, topLine, type TopLock } from '../../src/cli/top-text';

const now = Date.UTC(2026, 0, 1, 3);
const figures = { rate: 120, handlerP50: 2, handlerP99: 9, guardP50: 1, guardP99: 3, inFlight: 1 };
const lock: TopLock = {
  card: {
    lock: 'orders',
    leaseTtlMs: 5_000,
    holder: { region: 'us-east', pod: 'e-1', token: 7, since: new Date(now - 60_000).toISOString() },
    ttlLeftMs: 3_000,
    readAt: now,
    freeSince: null,
    paused: null,
    flapping: null,
    blocked: null,
    successor: null,
    regions: ['us-east', 'us-west'].map((region) => ({
      region,
      state: region === 'us-east' ? 'active' : 'standby',
      cordoned: null,
      workflow: 'running',
      phase: null,
      why: '',
      workflowUrl: null,
    })),
    pods: [],
    switchUnderWay: null,
    expectedGap: '12 ms',
    figures,
    totals: null,
    etcdAway: null,
  },
  history: {
    lock: 'orders',
    receipts: [],
    drills: [],
    lanes: {
      'us-east': [{ state: 'active', from: now - 300_000, to: null }],
      'us-west': [{ state: 'standby', from: now - 600_000, to: null }],
    },
  },
  series: [[1], [120], [2], [9]],
};
const temporal = { away: null, asked: true };

test('a frame shows who is active, a lane per region, and the rate, within the width', () => {
  const frame = topFrame([lock], temporal, now, 80);
  const text = frame.join('\n');
  expect(text).toContain('orders: us-east is active for 1m, 0 ready to take over (pod e-1, token 7');
  expect(text).toMatch(/^us-east active +█{27,28}$/m);
  expect(text).toMatch(/^us-west standby +·{55}$/m);
  expect(text).toContain('120 messages/s, handler p50 2.0 ms p99 9.0 ms');
  expect(Math.max(...frame.map((line) => line.length))).toBeLessThan(80);
});

test('a gap of milliseconds is not lost between two cells of minutes', () => {
  const spans = [
    { state: 'active' as const, from: now - 600_000, to: now - 200_000 },
    { state: 'gap' as const, from: now - 200_000, to: now - 199_990 },
  ];
  expect(laneText(spans, now, 20)).toContain('!');
});

test('what does not answer is said with since when, and a lock that nobody holds in capitals', () => {
  const free = { ...lock, card: { ...lock.card, holder: null, freeSince: now - 4_000 } };
  const away = { away: { since: now - 12_000, why: 'test' }, asked: true };
  expect(topFrame([free], away, now, 200).join('\n')).toContain(
    'Temporal unreachable for 12s; shown from etcd',
  );
  expect(topLine(free, now)).toBe(
    '2026-01-01T03:00:00.000Z  orders: NOBODY is active for 4s; us-east active, us-west standby; 120 messages/s, handler p50 2.0 ms p99 9.0 ms',
  );
});
