import { UnknownOutcomeError } from '../../activities/errors';
import { encodeValue } from '../../src/etcd/lock-keys';
import { eventually } from '../support/eventually';
import { LossyProxy } from '../support/lossy-proxy';
import { sharedServers } from '../support/servers';
import { candidateOf, PodFixture, settled, type ScriptedPod } from './pod-fixture';
import type { ScriptedListener } from './scripted-listener';

let fixture: PodFixture;
beforeEach(() => (fixture = new PodFixture()));
afterEach(async () => {
  jest.restoreAllMocks();
  await fixture.close();
});

const exited = (listener: ScriptedListener): Promise<void> =>
  eventually(() => expect(listener.hasExited).toBe(true));

describe('a free lock', () => {
  test('is taken by a standing pod whose listener is warm, and its listener starts', async () => {
    const a = fixture.pod('us-east-a');
    const answer = a.agent.awaitTenure(0, 60_000, new AbortController().signal);
    await a.untilHolding();
    const { holder, last } = await fixture.view();
    expect(holder).toMatchObject({ region: 'us-east', pod: 'us-east-a', token: a.token });
    expect(last?.receipt).toMatchObject({ cause: 'first', from: null, to: { token: a.token } });
    expect(a.group.listener.starts).toMatchObject([{ token: a.token, leaseId: holder?.leaseId }]);
    await expect(answer).resolves.toMatchObject({
      outcome: 'tenure',
      tenure: { token: a.token },
      receipt: { cause: 'first' },
    });
  });

  test('is left alone by a pod that does not stand', async () => {
    const a = fixture.pod('us-east-a');
    await fixture.until('it is ready', (view) => candidateOf(view, 'us-east-a')?.state === 'ready');
    await settled(a);
    expect((await fixture.view()).holder).toBeNull();
    a.stand();
    await a.untilHolding();
  });

  test('is left alone by a pod whose listener is not warm, until it is', async () => {
    const a = fixture.pod('us-east-a', { warm: false });
    a.stand();
    const view = await fixture.until('it stands', (v) => candidateOf(v, 'us-east-a')?.standing === true);
    expect(candidateOf(view, 'us-east-a')?.state).toBe('warming');
    a.group.becomeCold('the broker is away');
    await fixture.until('it says so', (v) => candidateOf(v, 'us-east-a')?.state === 'unhealthy');
    expect((await fixture.view()).holder).toBeNull();
    a.group.becomeWarm();
    await a.untilHolding();
  });

  test('is left alone while paused', async () => {
    const { keys } = fixture.etcd;
    await fixture.etcd.putRaw(
      keys.paused,
      encodeValue('paused', { who: 'me', why: 'a test', when: 'now' }).toString(),
    );
    const a = await fixture.standby('us-east-a');
    await settled(a);
    expect((await fixture.view()).holder).toBeNull();
    await fixture.etcd.deleteRaw(keys.paused);
    await a.untilHolding();
  });

  test('goes to one of many that want it', async () => {
    const pods = ['us-east-a', 'us-east-b', 'us-west-a', 'us-west-b'].map((name) => fixture.pod(name));
    for (const pod of pods) pod.stand();
    const winner = await eventually(() => {
      const holding = pods.filter((pod) => pod.agent.tenure?.consuming);
      if (holding.length === 0) throw new Error('nobody holds');
      return holding[0] as ScriptedPod;
    });
    await Promise.all(pods.map(settled));
    expect(pods.filter((pod) => pod.group.listener.starts.length > 0)).toEqual([winner]);
  });
});

describe('a loss', () => {
  /** Notes every change of holder that the pod asks for while a killed listener of it may still run. */
  function earlyChanges(pod: ScriptedPod): string[] {
    const early: string[] = [];
    for (const method of ['changeHolder', 'grantLease', 'revokeLease', 'deleteHolder'] as const) {
      const original = pod.store[method].bind(pod.store) as (...args: unknown[]) => Promise<never>;
      jest.spyOn(pod.store, method).mockImplementation((...args: unknown[]) => {
        if (pod.group.forked.some((listener) => listener.killedFor !== null && !listener.hasExited))
          early.push(method);
        return original(...args);
      });
    }
    return early;
  }

  test('of the holder key kills the listener at once, and the pod competes after its exit', async () => {
    const a = await fixture.holder('us-east-a');
    const { token } = a;
    const listener = a.group.listener;
    listener.exitDelayMs = 500;
    const early = earlyChanges(a);
    await fixture.etcd.deleteRaw(fixture.etcd.keys.holder);
    const next = await a.untilHolding(token);
    expect(listener.told).toEqual([`start ${token}`, 'kill']);
    expect(early).toEqual([]);
    expect(next).toBeGreaterThan(token);
    expect(a.notices.map((notice) => notice.token)).toEqual([token]);
  });

  test('to a holder written from outside kills the listener, and that holder stays', async () => {
    const a = await fixture.holder('us-east-a');
    const { token } = a;
    const listener = a.group.listener;
    const { keys } = fixture.etcd;
    const stranger = encodeValue('holder', { region: 'us-west', pod: 'stranger', since: 'now' });
    await fixture.etcd.putRaw(keys.holder, stranger.toString(), await fixture.etcd.lease());
    await a.untilNotHolding();
    await exited(listener);
    expect(listener.told).toEqual([`start ${token}`, 'kill']);
    await settled(a);
    expect((await fixture.view()).holder?.pod).toBe('stranger');
    await fixture.etcd.deleteRaw(keys.holder);
    await a.untilHolding(token);
  });

  test('is also a holder key put anew under the own name and lease: the token is another', async () => {
    const a = await fixture.holder('us-east-a');
    const { token } = a;
    const listener = a.group.listener;
    listener.exitDelayMs = 300;
    const { holder } = await fixture.view();
    const value = encodeValue('holder', { region: 'us-east', pod: 'us-east-a', since: 'now' });
    await fixture.etcd.putRaw(fixture.etcd.keys.holder, value.toString(), holder?.leaseId);
    const [next] = await Promise.all([a.untilHolding(token), exited(listener)]);
    expect(listener.told).toEqual([`start ${token}`, 'kill']);
    expect(a.group.listener.starts.map((start) => start.token)).toEqual([next]);
    expect((await fixture.view()).holder?.token).toBe(next);
  });

  test('of the lease ends the tenure, and the pod comes back with another lease', async () => {
    const a = await fixture.holder('us-east-a');
    const { token, tenure } = a;
    const listener = a.group.listener;
    listener.exitDelayMs = 500;
    const early = earlyChanges(a);
    await fixture.etcd.store.revokeLease(tenure.leaseId);
    await a.untilHolding(token);
    expect(listener.told).toEqual([`start ${token}`, 'kill']);
    expect(a.tenure.leaseId).not.toBe(tenure.leaseId);
    expect(early).toEqual([]);
  });

  test('found by the guard ends the tenure; its holder key is deleted after the exit', async () => {
    const a = await fixture.holder('us-east-a');
    const { token } = a;
    const listener = a.group.listener;
    listener.exitDelayMs = 300;
    const early = earlyChanges(a);
    a.group.halt(token, 'etcd shows another holder');
    expect(a.agent.tenure).toBeNull();
    await a.untilHolding(token);
    expect(listener.told).toEqual([`start ${token}`, 'kill']);
    expect(early).toEqual([]);
  });

  test('told by a listener or under a token that is not the present one changes nothing', async () => {
    const a = await fixture.holder('us-east-a');
    a.group.halt(a.token - 1, 'late');
    expect(a.agent.tenure?.phase).toBe('running');
  });

  test('is final: no tenure starts a second time under the same token', async () => {
    const a = await fixture.holder('us-east-a');
    const { holder } = await fixture.view();
    if (!holder) throw new Error('nobody holds');
    await fixture.etcd.deleteRaw(fixture.etcd.keys.holder);
    await a.untilHolding(holder.token);
    expect(a.agent.begin(holder, null)).toBeNull();
    expect(a.agent.begin({ ...holder, token: holder.token - 1 }, null)).toBeNull();
  });

  test('that is decided upon stays so: a token whose deletion had no answer is not begun, as that may still come', async () => {
    await fixture.holder('us-west-a');
    const b = await fixture.standby('us-east-a');
    let token = 0;
    const put = b.store.putCandidate.bind(b.store);
    // The lock is handed to it just before it can say that it is not ready any more.
    jest.spyOn(b.store, 'putCandidate').mockImplementationOnce(async (candidate, options) => {
      const change = fixture.etcd.changeTo({ region: b.region, pod: b.name }, await fixture.view());
      const { view } = await fixture.etcd.store.changeHolder(change);
      token = view.holder?.token ?? 0;
      return put(candidate, options);
    });
    const noAnswer = new UnknownOutcomeError('etcd gave no answer');
    const deletion = jest.spyOn(b.store, 'deleteHolder').mockRejectedValue(noAnswer);
    b.group.becomeCold('the broker is away');
    await eventually(() => expect(deletion).toHaveBeenCalled());
    expect(deletion).toHaveBeenLastCalledWith(token);
    b.group.becomeWarm();
    const asked = deletion.mock.calls.length;
    await eventually(() => expect(deletion.mock.calls.length).toBeGreaterThan(asked + 2));
    expect(b.group.listener.told).not.toContain(`start ${token}`);
    deletion.mockRestore();
    await fixture.until('the key is gone', ({ holder }) => holder?.token !== token);
    expect(b.group.listener.told).not.toContain(`start ${token}`);
  });
});

describe('a holder that cannot work', () => {
  test('hands over to a pod that can, after the limit, and tells the workflow', async () => {
    const a = await fixture.holder('us-east-a');
    const b = await fixture.standby('us-west-a');
    const { token } = a;
    a.group.becomeCold('the broker is away');
    await b.untilHolding(token);
    await eventually(() => expect(a.notices.map((notice) => notice.token)).toEqual([token]));
    expect((await fixture.view()).last?.receipt.why).toContain('the broker is away');
  });

  test('keeps the lock when nobody else could work either', async () => {
    const a = await fixture.holder('us-east-a');
    const { token } = a;
    a.group.becomeCold('the broker is away');
    await new Promise((resolve) => setTimeout(resolve, 2 * a.agent.settings.healthLimitMs));
    await settled(a);
    expect([a.token, a.agent.tenure?.phase]).toEqual([token, 'running']);
    expect(a.group.listener.told).toEqual([`start ${token}`]);
  });

  test('keeps the lock when it recovers in time, and has all of the limit the next time', async () => {
    const healthLimitMs = 5_000;
    const a = await fixture.holder('us-east-a', { settings: { healthLimitMs } });
    const { token } = a;
    await fixture.standby('us-west-a');
    a.group.becomeCold('the broker is away');
    await settled(a);
    a.group.becomeWarm();
    await new Promise((resolve) => setTimeout(resolve, healthLimitMs + 100));
    await settled(a);
    a.group.becomeCold('the broker is away');
    await settled(a);
    expect([a.token, a.agent.tenure?.phase]).toEqual([token, 'running']);
    expect(a.group.listener.told).toEqual([`start ${token}`]);
  });
});

describe('a pod that stands down', () => {
  test('does not take the lock and is handed it by nobody, until it stands again', async () => {
    const a = await fixture.holder('us-east-a');
    const b = await fixture.standby('us-west-a');
    const { token } = a;
    await b.agent.standDown('told to');
    expect(candidateOf(await fixture.view(), 'us-west-a')?.standing).toBe(false);
    await expect(a.agent.instructions.toTargets(a.switchInput([b]))).resolves.toMatchObject({
      outcome: 'resumed',
    });
    await a.agent.shutDown('SIGTERM');
    await settled(b);
    expect((await fixture.view()).holder).toBeNull();
    b.stand();
    await b.untilHolding(token);
  });

  test('goes on with the tenure it has', async () => {
    const a = await fixture.holder('us-east-a');
    const { token } = a;
    await a.agent.standDown('told to');
    await settled(a);
    expect([a.agent.tenure?.phase, a.token]).toEqual(['running', token]);
    expect(a.group.listener.told).toEqual([`start ${token}`]);
  });

  test('still takes up what was handed to it before it could say so', async () => {
    const a = await fixture.holder('us-east-a');
    const b = await fixture.standby('us-west-a');
    const { token } = a;
    const original = b.store.putCandidate.bind(b.store);
    jest.spyOn(b.store, 'putCandidate').mockImplementationOnce(async (candidate, options) => {
      const change = fixture.etcd.changeTo({ region: b.region, pod: b.name }, await fixture.view());
      await expect(fixture.etcd.store.changeHolder(change)).resolves.toMatchObject({ outcome: 'applied' });
      return original(candidate, options);
    });
    await b.agent.standDown('told to');
    await b.untilHolding(token);
    expect(b.agent.standing).toBe(false);
  });

  test('ends the call that waits', async () => {
    const a = await fixture.holder('us-east-a');
    const answer = a.agent.awaitTenure(a.token, 60_000, new AbortController().signal);
    await a.agent.standDown('told to');
    await expect(answer).resolves.toMatchObject({ outcome: 'not-yet', why: 'told to' });
  });
});

describe('an etcd that does not answer', () => {
  let proxy: LossyProxy;
  beforeEach(async () => (proxy = await LossyProxy.start(sharedServers().etcd[0] as string)));
  afterEach(async () => {
    // The pods' last requests are answered.
    proxy.deliverAnswers();
    proxy.cut();
    await fixture.close();
    await proxy.close();
    fixture = new PodFixture();
  });

  test('past the deadline ends the tenure in time; when it is back the pod competes anew', async () => {
    const leaseTtlMs = 10_000;
    const a = await fixture.holder('us-east-a', {
      etcd: [proxy.address],
      // The margin is also for the machine that runs this test.
      settings: { leaseTtlMs, deadlineMarginMs: 4_000 },
    });
    const { token } = a;
    const listener = a.group.listener;
    listener.exitDelayMs = 300;
    const sentNs = (): bigint => a.agent.candidacy.confirmed?.sent.ns ?? 0n;
    proxy.swallowAnswers();
    await eventually(() => expect(listener.killedFor).not.toBeNull(), 2 * leaseTtlMs);
    // No later than etcd may give the lock to somebody else.
    expect(Number(process.hrtime.bigint() - sentNs()) / 1e6).toBeLessThan(leaseTtlMs);
    expect(a.agent.tenure).toBeNull();
    expect(listener.told).toEqual([`start ${token}`, 'kill']);
    // The requests still arrived: etcd believes that it holds the lock.
    const early: boolean[] = [];
    const original = a.store.deleteHolder.bind(a.store);
    jest.spyOn(a.store, 'deleteHolder').mockImplementation((deleted) => {
      early.push(!listener.hasExited);
      return original(deleted);
    });
    expect((await fixture.view()).holder?.token).toBe(token);
    proxy.deliverAnswers();
    proxy.cut();
    await a.untilHolding(token, 30_000);
    expect(new Set(early)).toEqual(new Set([false]));
    expect(a.notices).toEqual([{ token, why: 'no confirmed extension before the deadline' }]);
    expect(listener.told).toEqual([`start ${token}`, 'kill']);
  });

  test('for less than that costs nothing', async () => {
    const a = await fixture.holder('us-east-a', { etcd: [proxy.address] });
    const { token } = a;
    const { confirmed } = a.agent.candidacy;
    proxy.swallowAnswers();
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    proxy.deliverAnswers();
    proxy.cut();
    await a.agent.candidacy.extend();
    await eventually(() => expect(a.agent.candidacy.confirmed).not.toBe(confirmed), 30_000);
    expect([a.token, a.agent.tenure?.phase]).toEqual([token, 'running']);
    expect(a.group.listener.told).toEqual([`start ${token}`]);
  });
});

test('a candidate write without an answer is written again', async () => {
  await fixture.holder('us-east-a');
  const b = await fixture.standby('us-west-a');
  const original = b.store.putCandidate.bind(b.store);
  let unanswered = 0;
  jest.spyOn(b.store, 'putCandidate').mockImplementation(async (candidate, options) => {
    if (unanswered >= 4) return original(candidate, options);
    // The first is applied, then etcd is away for a while.
    if (unanswered++ === 0) await original(candidate, options);
    throw new UnknownOutcomeError('the answer is lost');
  });
  b.group.replacement = 'starting';
  b.group.crash();
  await eventually(() => expect(unanswered).toBeGreaterThan(0));
  b.group.becomeWarm();
  await fixture.until('its key says that it is ready', (v) => candidateOf(v, 'us-west-a')?.state === 'ready');
  expect(unanswered).toBe(4);
});

test('what changes right after the pod has looked is not missed', async () => {
  // Extensions, which would make it look again, are a minute apart.
  const a = fixture.pod('us-east-a', { settings: { leaseTtlMs: 180_000 } });
  await fixture.until('it is ready', (view) => candidateOf(view, 'us-east-a')?.state === 'ready');
  await settled(a);
  const original = a.group.readiness.bind(a.group);
  for (let ticks = 0; ticks < 24; ticks += 1) {
    const toCold = ticks % 2 === 0;
    const wanted = toCold ? 'unhealthy' : 'ready';
    // The first look finds nothing to do; the change comes so many promise ticks after it began.
    jest.spyOn(a.group, 'readiness').mockImplementationOnce(() => {
      let later = Promise.resolve();
      for (let n = 0; n < ticks; n += 1) later = later.then(() => {});
      void later.then(() => (toCold ? a.group.becomeCold('the broker is away') : a.group.becomeWarm()));
      return original();
    });
    a.agent.kick();
    await fixture.until(
      `its key says ${wanted}, changed after ${ticks} ticks`,
      (view) => candidateOf(view, 'us-east-a')?.state === wanted,
      20_000,
    );
    await settled(a);
  }
  expect(a.group.readiness()).toBe('ready');
});
