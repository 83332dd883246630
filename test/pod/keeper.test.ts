import { AccessError, LostError, UnknownOutcomeError } from '../../activities/errors';
import { Keeper } from '../../src/pod/keeper';
import type { ConfirmedExtension } from '../../src/pod/lease-clock';
import type { LockStore, LockView } from '../../src/pod/lock-store';
import { pass, releaseClock, stopClock } from './fake-clock';
import { silentLogger } from './pod-fixture';

const intervalMs = 1_000;
const ttlMs = 3_000;
const pod = 'us-east-a-1';
const leaseId = '77';

/** What etcd says, and how long it takes to. */
const etcd = {
  keepAliveMs: 0,
  readMs: 0,
  term: 5,
  viewTerm: 5,
  candidates: [] as LockView['candidates'],
  keepAliveFails: null as Error | null,
  readFails: null as Error | null,
  onAnswered: () => {},
};
let requests: { name: 'keepAlive' | 'read'; atMs: number }[];
let reports: { confirmed: ConfirmedExtension[]; lost: string[]; attempts: string[]; views: LockView[] };
let keeper: Keeper;

const waitMs = (ms: number): Promise<void> =>
  ms === 0 ? Promise.resolve() : new Promise((resolve) => setTimeout(resolve, ms));
const sends = (): number[] => requests.filter(({ name }) => name === 'keepAlive').map(({ atMs }) => atMs);

const store: Pick<LockStore, 'keepAlive' | 'read'> = {
  keepAlive: async () => {
    requests.push({ name: 'keepAlive', atMs: performance.now() });
    const raftTerm = etcd.term;
    await waitMs(etcd.keepAliveMs);
    if (etcd.keepAliveFails) throw etcd.keepAliveFails;
    etcd.onAnswered();
    return { ttlMs, raftTerm };
  },
  read: async () => {
    requests.push({ name: 'read', atMs: performance.now() });
    await waitMs(etcd.readMs);
    if (etcd.readFails) throw etcd.readFails;
    return {
      revision: 1,
      raftTerm: etcd.viewTerm,
      holder: null,
      last: null,
      candidates: etcd.candidates,
      successor: null,
      blocked: null,
      paused: null,
      cordons: [],
      flap: { tripped: null, acked: null },
    };
  },
};

beforeEach(() => {
  stopClock();
  const own = { pod, leaseId, region: 'us-east', state: 'ready', standing: true } as const;
  Object.assign(etcd, {
    keepAliveMs: 0,
    readMs: 0,
    term: 5,
    viewTerm: 5,
    candidates: [{ ...own, since: '', version: '', modRevision: 9 }],
    keepAliveFails: null,
    readFails: null,
    onAnswered: () => {},
  });
  requests = [];
  reports = { confirmed: [], lost: [], attempts: [], views: [] };
  keeper = new Keeper(
    store as LockStore,
    leaseId,
    pod,
    intervalMs,
    {
      onView: (view) => void reports.views.push(view),
      onConfirmed: (extension) => void reports.confirmed.push(extension),
      onLost: (why) => void reports.lost.push(why),
      onAttempt: (outcome) => void reports.attempts.push(outcome),
    },
    silentLogger,
  );
});
afterEach(async () => {
  keeper.stop();
  // What is under way ends.
  await pass(2 * intervalMs);
  releaseClock();
});

test('an extension is confirmed by a read that begins after its answer', async () => {
  etcd.keepAliveMs = 300;
  keeper.start();
  await pass(299);
  expect(requests.map(({ name }) => name)).toEqual(['keepAlive']);
  await pass(2);
  expect(requests.map(({ name }) => name)).toEqual(['keepAlive', 'read']);
  expect(reports.attempts).toEqual(['confirmed']);
});

test('a confirmed extension counts from when it was sent, with the granted TTL', async () => {
  etcd.keepAliveMs = 300;
  etcd.readMs = 200;
  const sentNs = process.hrtime.bigint();
  keeper.start();
  await pass(600);
  expect(reports.confirmed).toHaveLength(1);
  expect(reports.confirmed[0]).toMatchObject({ ttlMs, sent: { ns: sentNs } });
  expect(keeper.confirmed).toBe(reports.confirmed[0]);
});

test('an extension does not count while the read shows another raft term than its answer', async () => {
  etcd.viewTerm = 6;
  keeper.start();
  await pass(1_100);
  expect(reports.confirmed).toEqual([]);
  expect(keeper.confirmed).toBeNull();
  expect(new Set(reports.attempts)).toEqual(new Set(['unconfirmed']));
  etcd.term = 6;
  await pass(300);
  expect(reports.attempts.at(-1)).toBe('confirmed');
});

test('a view that does not confirm is told all the same, as it may show a loss', async () => {
  etcd.viewTerm = 6;
  keeper.start();
  await pass(1);
  expect(reports.views).toHaveLength(1);
});

test.each([
  ['it is gone', () => (etcd.candidates = [])],
  ['it is on another lease', () => (etcd.candidates[0]!.leaseId = '78')],
  ["only another pod's is on the lease", () => (etcd.candidates[0]!.pod = 'us-east-b-1')],
])('the lease is lost when the candidate key is not on it: %s', async (_, change) => {
  change();
  keeper.start();
  await pass(10 * intervalMs);
  expect(reports.confirmed).toEqual([]);
  expect(reports.lost).toEqual(['the candidate key is gone']);
  expect(sends()).toHaveLength(1);
});

test('a lease that etcd does not know is reported lost once, and extended no more', async () => {
  keeper.start();
  await pass(2.5 * intervalMs);
  etcd.keepAliveFails = new LostError('lease 77 is gone');
  await pass(10 * intervalMs);
  expect(sends()).toHaveLength(4);
  // Nor by whoever asks for an extension afterwards.
  await keeper.extend();
  expect(reports.lost).toEqual(['lease 77 is gone']);
});

test.each([
  ['keepalive', () => (etcd.keepAliveFails = new UnknownOutcomeError('no answer'))],
  ['read', () => (etcd.readFails = new UnknownOutcomeError('no answer'))],
  ['unexpected failure', () => (etcd.readFails = new TypeError('a defect'))],
])('an unanswered %s does not count, is no loss, and is tried again within 200 ms', async (_, fail) => {
  fail();
  keeper.start();
  await pass(1_001);
  expect(reports.confirmed).toEqual([]);
  expect(reports.lost).toEqual([]);
  expect(new Set(reports.attempts)).toEqual(new Set(['unknown']));
  expect(sends()).toHaveLength(6);
  Object.assign(etcd, { keepAliveFails: null, readFails: null });
  await pass(201);
  expect(reports.attempts.at(-1)).toBe('confirmed');
});

test('an extension under way when the keeper is stopped no longer counts', async () => {
  Object.assign(etcd, { keepAliveMs: 100, readMs: 100 });
  const outcome = keeper.extend();
  await pass(150);
  keeper.stop();
  await pass(10 * intervalMs);
  await expect(outcome).resolves.toBe('unconfirmed');
  expect(reports).toMatchObject({ confirmed: [], views: [], attempts: ['unconfirmed'] });
  expect(keeper.confirmed).toBeNull();
  expect(sends()).toHaveLength(1);
});

test('a loss found after the keeper was stopped is not reported', async () => {
  etcd.keepAliveMs = 100;
  etcd.keepAliveFails = new LostError('lease 77 is gone');
  keeper.start();
  keeper.stop();
  await pass(10 * intervalMs);
  expect(reports.lost).toEqual([]);
});

test('the interval is from send to send, however long the answers take', async () => {
  Object.assign(etcd, { keepAliveMs: 300, readMs: 400 });
  keeper.start();
  await pass(3 * intervalMs + 50);
  const [first = NaN, ...rest] = sends();
  // The timers' resolution is a millisecond.
  expect(rest.map((atMs) => Math.abs(atMs - first))).toEqual(
    [1, 2, 3].map((n) => expect.closeTo(n * intervalMs, -1) as number),
  );
});

test('an answer slower than the interval is followed by the next extension at once', async () => {
  etcd.keepAliveMs = 1.5 * intervalMs;
  keeper.start();
  await pass(1.5 * intervalMs + 10);
  expect(sends()).toHaveLength(2);
  expect(reports.attempts).toEqual(['confirmed']);
});

test('whoever asks for an extension joins the one under way', async () => {
  etcd.keepAliveMs = 100;
  keeper.start();
  const asked = Promise.all([keeper.extend(), keeper.extend()]);
  await pass(101);
  await expect(asked).resolves.toEqual(['confirmed', 'confirmed']);
  expect(sends()).toHaveLength(1);
});

test('an extension asked for in between moves the next one instead of adding one', async () => {
  keeper.start();
  await pass(intervalMs / 2);
  const asked = keeper.extend();
  await pass(intervalMs - 10);
  await expect(asked).resolves.toBe('confirmed');
  expect(sends()).toHaveLength(2);
  await pass(20);
  expect(sends()).toHaveLength(3);
});

test('while etcd lets this pod read nothing, its lease is not extended: etcd takes keepalives from anybody', async () => {
  etcd.readFails = new AccessError('etcd: permission denied');
  keeper.start();
  await pass(3 * intervalMs);
  expect(sends()).toHaveLength(1);
  expect(reports.attempts.length).toBeGreaterThan(2);
  expect(new Set(reports.attempts)).toEqual(new Set(['unknown']));
  expect(reports.confirmed).toEqual([]);
  etcd.readFails = null;
  await pass(intervalMs);
  expect(sends().length).toBeGreaterThan(1);
  expect(reports.attempts.at(-1)).toBe('confirmed');
});
