import type { Attempt, Tenure } from '../../workflows/contract';
import type { RunningTenure } from '../../src/pod/running-tenure';
import { TenureSubscription } from '../../src/pod/tenure-subscription';
import { pass, releaseClock, stopClock } from './fake-clock';

const limitMs = 300_000;
const tenureWith = (token: number): Tenure => ({
  lock: 'orders',
  region: 'us-east',
  pod: 'a',
  leaseId: '7',
  token,
  since: '',
});
/** What a subscription looks at. */
const running = (token: number, phase: RunningTenure['phase'] = 'running'): RunningTenure =>
  ({ tenure: tenureWith(token), receipt: null, phase }) as RunningTenure;
const attempt = (why: string, outcome: Attempt['outcome'] = 'refused'): Attempt => ({
  at: '',
  pod: 'a',
  outcome,
  why,
});

let subscription: TenureSubscription;
let call: AbortController;
const wait = (afterToken: number, present: RunningTenure | null = null) =>
  subscription.wait(afterToken, present, limitMs, call.signal);

beforeEach(() => {
  stopClock();
  subscription = new TenureSubscription();
  call = new AbortController();
});
afterEach(() => {
  subscription.end('the test is over');
  releaseClock();
});

test('a tenure above the token asked for is answered at once', async () => {
  await expect(wait(6, running(7))).resolves.toMatchObject({ outcome: 'tenure', tenure: { token: 7 } });
});

test('one that is not above it, or has ended, is not; the next one above it is', async () => {
  const answer = wait(7, running(7));
  subscription.announce(running(7));
  subscription.announce(running(8, 'ended'));
  expect(subscription.idleMs).toBe(0);
  subscription.announce(running(9));
  await expect(answer).resolves.toMatchObject({ outcome: 'tenure', tenure: { token: 9 } });
});

test('after the limit the answer is "not yet", with the attempts made', async () => {
  const answer = wait(0);
  subscription.record(attempt('paused'));
  await pass(limitMs + 1);
  await expect(answer).resolves.toEqual({
    outcome: 'not-yet',
    why: 'nothing to report yet',
    attempts: [attempt('paused')],
  });
});

test('a cancelled call ends, before it began as well as later', async () => {
  const answer = wait(0);
  call.abort();
  await expect(answer).resolves.toMatchObject({ outcome: 'not-yet', why: 'the call was cancelled' });
  await expect(wait(0, running(7))).resolves.toMatchObject({ why: 'the call was cancelled' });
});

test('a new call ends the older one and keeps the attempts for itself', async () => {
  const older = wait(0);
  subscription.record(attempt('paused'));
  const newer = subscription.wait(0, null, limitMs, new AbortController().signal);
  await expect(older).resolves.toEqual({ outcome: 'not-yet', why: 'a newer call took over', attempts: [] });
  // That the older one is cancelled afterwards is nothing to the newer one.
  call.abort();
  expect(subscription.idleMs).toBe(0);
  subscription.announce(running(3));
  await expect(newer).resolves.toMatchObject({ outcome: 'tenure', attempts: [attempt('paused')] });
});

test('an answer that a call has had already is not given to the next', async () => {
  subscription.record(attempt('won', 'won'));
  await wait(0, running(7));
  await expect(wait(0, running(7))).resolves.toMatchObject({ outcome: 'tenure', attempts: [] });
});

test('the same attempt again and again is one line, and only the newest twenty are kept', async () => {
  for (let n = 0; n < 5; n += 1) subscription.record({ ...attempt('paused'), at: String(n) });
  for (let n = 0; n < 19; n += 1) subscription.record(attempt(`reason ${n}`));
  const first = await wait(0, running(7));
  expect(first.attempts).toHaveLength(20);
  expect(first.attempts[0]).toEqual({ ...attempt('paused'), at: '4' });
  for (let n = 0; n < 30; n += 1) subscription.record(attempt(`reason ${n}`));
  const second = await wait(0, running(7));
  expect(second.attempts.map(({ why }) => why)).toEqual(
    Array.from({ length: 20 }, (_, n) => `reason ${n + 10}`),
  );
});

test('a tenure that nobody waits for is remembered by nobody here', () => {
  subscription.announce(running(7));
  subscription.end('standing down');
  expect(subscription.idleMs).toBe(0);
});

test('the time without an open call counts from the end of the last one', async () => {
  await pass(2_000);
  expect(subscription.idleMs).toBe(2_000);
  const answer = wait(0);
  await pass(5_000);
  expect(subscription.idleMs).toBe(0);
  subscription.end('standing down');
  await expect(answer).resolves.toMatchObject({ outcome: 'not-yet', why: 'standing down' });
  await pass(3_000);
  expect(subscription.idleMs).toBe(3_000);
});
