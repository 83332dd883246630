import { setTimeout as sleep } from 'node:timers/promises';
import type { PreferenceSettings } from '../../src/config/config';
import { forceRelease } from '../../src/pod/forced-release';
import { Pod } from '../../src/pod/pod';
import { headStartMs } from '../../src/pod/region-preference';
import { eventually } from '../support/eventually';
import { candidateOf, PodFixture, settled } from './pod-fixture';

let fixture: PodFixture;
beforeEach(() => (fixture = new PodFixture()));
afterEach(async () => {
  jest.restoreAllMocks();
  await fixture.close();
});

const noFence = () => Promise.reject(new Error('nobody was fenced'));
const means = { regions: [], killSelf: () => {} };

const preferring = (preference: Partial<PreferenceSettings>) => ({
  settings: { preference: { order: [], never: [], failback: null, ...preference } },
});

describe('a holder that dies', () => {
  test('is followed by a pod of its own region, also where another region is preferred and faster', async () => {
    const options = preferring({ order: ['us-west', 'us-east'] });
    const a = await fixture.holder('us-east-a', options);
    const near = await fixture.standby('us-east-b', options);
    const far = await fixture.standby('us-west-a', options);
    const change = near.store.changeHolder.bind(near.store);
    jest.spyOn(near.store, 'changeHolder').mockImplementation(async (input) => {
      await sleep(50);
      return change(input);
    });
    const { token } = a;
    await a.agent.finish();
    await near.untilHolding(token);
    expect(far.group.listener.starts).toEqual([]);
  });

  test('is followed by another region all the same when nobody there takes the lock', async () => {
    const a = await fixture.holder('us-east-a');
    const far = await fixture.standby('us-west-a');
    // As pods that have died just now: their leases still live.
    await fixture.etcd.stand('us-east', 'us-east-b');
    await fixture.etcd.stand('us-east', 'us-east-c');
    await fixture.until('it is seen', () => far.agent.view?.candidates.length === 4);
    const { token } = a;
    const began = performance.now();
    await a.agent.finish();
    await far.untilHolding(token);
    expect(performance.now() - began).toBeGreaterThan(headStartMs);
    expect((await fixture.view()).last?.receipt).toMatchObject({
      cause: 'takeover',
      to: { pod: 'us-west-a' },
    });
  });

  test('is followed by the preferred one of the other regions', async () => {
    const options = preferring({ order: ['us-east', 'us-west'] });
    const a = await fixture.holder('us-east-a', options);
    const west = await fixture.standby('us-west-a', options);
    const north = await fixture.standby('us-north-a', options);
    const change = west.store.changeHolder.bind(west.store);
    jest.spyOn(west.store, 'changeHolder').mockImplementation(async (input) => {
      await sleep(50);
      return change(input);
    });
    await a.agent.finish();
    await west.untilHolding();
    expect(north.group.listener.starts).toEqual([]);
  });

  test('that shuts down hands over to the preferred one, not to the one ready for longest', async () => {
    const options = preferring({ order: ['us-west'] });
    const a = await fixture.holder('us-east-a', options);
    const north = await fixture.standby('us-north-a', options);
    const west = await fixture.standby('us-west-a', options);
    await a.agent.shutDown('SIGTERM');
    await west.untilHolding();
    expect(north.group.listener.starts).toEqual([]);
  });
});

test('a pod of a region that is never active stays warm, and neither stands nor takes the lock', async () => {
  const options = preferring({ never: ['us-west'] });
  const a = await fixture.holder('us-east-a', options);
  const never = fixture.pod('us-west-a', options);
  never.stand();
  await fixture.until('it is ready', (view) => candidateOf(view, 'us-west-a')?.state === 'ready');
  expect(candidateOf(await fixture.view(), 'us-west-a')?.standing).toBe(false);
  const why = 'its region may never be active (preference.never)';
  const probe = await new Pod(new Map([[fixture.lock, never.agent]]), means).probe({ lock: fixture.lock });
  expect(probe).toMatchObject({ ready: false, why });
  await eventually(() => expect(never.agent.whyNotReady()).toBeNull());

  const { token } = a;
  const force = { switchId: 'f', token, to: 'us-west', reason: 'x', by: 'me', waitFor: 'nothing' as const };
  expect(await forceRelease(never.store, never.agent.settings, force, noFence)).toEqual({
    outcome: 'refused',
    why: 'us-west may never be active (preference.never)',
  });
  await a.agent.finish();
  await fixture.until('the lock is free', ({ holder }) => holder === null);
  await sleep(2 * headStartMs);
  await settled(never);
  expect(never.group.listener.starts).toEqual([]);
});

test('a beat tells that the lock should go back, and nothing where it should not', async () => {
  const failback = { windows: [], timeZone: 'UTC', healthyForMs: 0 };
  const options = preferring({ order: ['us-east', 'us-west'], failback });
  const a = await fixture.holder('us-west-a', options);
  const renew = () =>
    new Pod(new Map([[fixture.lock, a.agent]]), means).renewLease({
      lock: fixture.lock,
      seq: 1,
      tenure: a.tenure,
    });
  expect(await renew()).not.toHaveProperty('failback');
  await fixture.standby('us-east-a', options);
  expect(await renew()).toMatchObject({
    outcome: 'extended',
    failback: { to: 'us-east', why: expect.stringContaining('us-east is preferred to us-west') },
  });
});
