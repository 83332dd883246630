import { RefusedError, UnknownOutcomeError } from '../../activities/errors';
import type { AwaitTenureResult, Tenure } from '../../workflows/contract';
import { encodeValue } from '../../src/etcd/lock-keys';
import { Pod } from '../../src/pod/pod';
import { eventually } from '../support/eventually';
import { candidateOf, PodFixture, type ScriptedPod } from './pod-fixture';

let fixture: PodFixture;
beforeEach(() => (fixture = new PodFixture()));
afterEach(async () => {
  jest.restoreAllMocks();
  await fixture.close();
});

const over = new AbortController().signal;
/** The pod's instructions; its lock also goes by the other names given. */
const instructionsOf = ({ agent }: ScriptedPod, ...names: string[]): Pod =>
  new Pod(new Map([agent.lock, ...names].map((name) => [name, agent])), {
    regions: [],
    killSelf: () => void kills.push(agent.identity.pod),
  });
/** Pods that would be dead now. */
const kills: string[] = [];

describe('the order of instructions', () => {
  /** The call's answer, or its refusal; never throws before it has begun. */
  const awaitTenure = async (pod: Pod, seq: number, lock = fixture.lock): Promise<AwaitTenureResult> =>
    pod.awaitTenure({ lock, seq, afterToken: 0 }, AbortSignal.timeout(20_000));

  test('an older one about standing is refused, and changes nothing', async () => {
    const a = await fixture.holder('us-east-a');
    const pod = instructionsOf(a);
    await awaitTenure(pod, 5);
    await expect(pod.standDown({ lock: fixture.lock, seq: 4 })).rejects.toThrow(
      new RefusedError('instruction 4 is older than 5, seen before'),
    );
    expect(a.agent.standing).toBe(true);
    await pod.standDown({ lock: fixture.lock, seq: 6 });
    await expect(awaitTenure(pod, 5)).rejects.toThrow(RefusedError);
    expect(a.agent.standing).toBe(false);
  });

  test('one asked for again is carried out again', async () => {
    const a = await fixture.holder('us-east-a');
    const pod = instructionsOf(a);
    await expect(awaitTenure(pod, 5)).resolves.toMatchObject({ tenure: { token: a.token } });
    await expect(awaitTenure(pod, 5)).resolves.toMatchObject({ tenure: { token: a.token } });
  });

  test('an older one that would end the tenure is refused before anything is drained', async () => {
    const a = await fixture.holder('us-east-a');
    const b = await fixture.standby('us-west-a');
    const pod = instructionsOf(a);
    const { token } = a;
    const targets = [{ region: 'us-west', pod: 'gone' }];
    await pod.drainAndHandOver(a.switchInput([], { seq: 5, targets }));
    await expect(pod.drainAndHandOver(a.switchInput([b], { seq: 4 }))).rejects.toThrow(RefusedError);
    await expect(pod.releaseLock(a.releaseInput({ seq: 4 }))).rejects.toThrow(RefusedError);
    expect(a.group.listener.told).toEqual([`start ${token}`]);
    expect((await fixture.view()).holder?.token).toBe(token);
  });

  test('standing and leaving, and each lock, count on their own', async () => {
    const a = await fixture.holder('us-east-a');
    const b = await fixture.standby('us-west-a');
    const pod = instructionsOf(a, 'another');
    await awaitTenure(pod, 9);
    await awaitTenure(pod, 1, 'another');
    await expect(pod.drainAndHandOver(a.switchInput([b], { seq: 2 }))).resolves.toMatchObject({
      outcome: 'handed-over',
    });
    await expect(awaitTenure(pod, 8)).rejects.toThrow(RefusedError);
  });
});

describe('a call that awaits a tenure', () => {
  const paused = { who: 'me', why: 'a test', when: 'now' };
  const pause = (): Promise<void> =>
    fixture.etcd.putRaw(fixture.etcd.keys.paused, encodeValue('paused', paused).toString());

  test('ends when the lock is paused or resumed, and says which', async () => {
    const a = await fixture.holder('us-east-a');
    const pod = instructionsOf(a);
    const input = { lock: fixture.lock, seq: 1, afterToken: a.token };
    const first = pod.awaitTenure({ ...input, paused: false }, over);
    await pause();
    await expect(first).resolves.toMatchObject({
      outcome: 'not-yet',
      why: 'paused by me: a test',
      paused: true,
    });
    const second = pod.awaitTenure({ ...input, paused: true }, over);
    await fixture.etcd.deleteRaw(fixture.etcd.keys.paused);
    await expect(second).resolves.toMatchObject({ outcome: 'not-yet', paused: false });
  });

  test('of a workflow that believes otherwise ends at once, unless there is a tenure to tell', async () => {
    await pause();
    const a = await fixture.standby('us-east-a');
    const pod = instructionsOf(a);
    const input = { lock: fixture.lock, seq: 1, afterToken: 0, paused: false };
    await expect(pod.awaitTenure(input, over)).resolves.toMatchObject({ outcome: 'not-yet', paused: true });
    await fixture.etcd.deleteRaw(fixture.etcd.keys.paused);
    const token = await a.untilHolding();
    await expect(pod.awaitTenure({ ...input, paused: true }, over)).resolves.toMatchObject({
      outcome: 'tenure',
      tenure: { token },
    });
  });
});

test('a lock that is not configured here is refused, with the names of those that are', async () => {
  const a = await fixture.holder('us-east-a');
  const pod = instructionsOf(a, 'invoices');
  const stamp = { lock: 'unknown', seq: 1 };
  const { tenure } = a;
  const calls: (() => Promise<unknown>)[] = [
    () => pod.awaitTenure({ ...stamp, afterToken: 0 }, over),
    () => pod.standDown(stamp),
    () => pod.startListener({ ...stamp, tenure }),
    () => pod.renewLease({ ...stamp, tenure }),
    () => pod.drainAndHandOver({ ...a.switchInput([]), ...stamp }),
    () => pod.releaseLock({ ...a.releaseInput(), ...stamp }),
    () => pod.crash({ ...stamp, token: 1, drillId: 'd', reason: '', by: '' }),
    () => pod.abortSwitch({ ...stamp, switchId: 's', why: '' }),
    () => pod.inspectLock(stamp),
    () => pod.probe(stamp),
    () => pod.awaitSuccessor({ lock: 'unknown', switchId: 's', waitMs: 0 }, over),
  ];
  const refusal = new RefusedError(`lock unknown is not configured here; known: ${fixture.lock}, invoices`);
  for (const call of calls) await expect((async () => call())()).rejects.toThrow(refusal);
});

describe('a crash for a drill', () => {
  const standsAgain = (pod: string): Promise<unknown> =>
    fixture.until(`${pod} stands again`, (view) => candidateOf(view, pod)?.standing === true);
  const allowed = {
    settings: { drill: { objectiveMs: null, crashObjectiveMs: null, allowCrash: true } },
  };
  const crash = (pod: ScriptedPod, token: number) =>
    instructionsOf(pod).crash({ lock: fixture.lock, token, drillId: 'd', reason: 'quarterly', by: 'me' });
  beforeEach(() => void kills.splice(0));

  test('kills the holder, once another candidate stands ready, and gives no answer', async () => {
    const a = await fixture.holder('us-east-a', allowed);
    expect(await crash(a, a.token)).toEqual({
      outcome: 'refused',
      why: `no other candidate for ${fixture.lock} is ready and stands`,
    });
    await fixture.standby('us-west-a');
    const answer = crash(a, a.token);
    await eventually(() => expect(kills).toEqual(['us-east-a']));
    const silence = new Promise((done) => setTimeout(() => done('no answer'), 200));
    expect(await Promise.race([answer, silence])).toBe('no answer');
  });

  test('is refused where nobody would follow: not allowed, paused, cordoned, too many changes', async () => {
    const forbidden = await fixture.holder('us-east-a');
    await fixture.standby('us-west-a');
    const { token } = forbidden;
    expect(await crash(forbidden, token)).toMatchObject({
      outcome: 'refused',
      why: expect.stringContaining('allowCrash'),
    });
    Object.assign(forbidden.agent.settings, allowed.settings);
    const { store } = fixture.etcd;
    const mark = { reason: 'a test', by: 'me' };
    await store.mark({ kind: 'pause', ...mark });
    expect(await crash(forbidden, token)).toMatchObject({ why: expect.stringContaining('is paused by me') });
    await store.mark({ kind: 'resume', ...mark });
    await store.mark({ kind: 'cordon', region: 'us-west', ...mark });
    expect(await crash(forbidden, token)).toMatchObject({ why: expect.stringContaining('no other candid') });
    await store.mark({ kind: 'uncordon', region: 'us-west', ...mark });
    await standsAgain('us-west-a');
    await store.trip('us-west-a', 'changed too often');
    expect(await crash(forbidden, token)).toMatchObject({ why: expect.stringContaining('until baton ack') });
    expect(kills).toEqual([]);
  });

  test('of another tenure than this is no holder', async () => {
    const a = await fixture.holder('us-east-a', allowed);
    const b = await fixture.standby('us-west-a', allowed);
    const notHolder = {
      outcome: 'not-holder',
      why: `us-east/us-east-a holds the lock, under token ${a.token}`,
    };
    expect(await crash(a, a.token - 1)).toEqual(notHolder);
    expect(await crash(b, a.token)).toEqual(notHolder);
    expect(kills).toEqual([]);
  });
});

describe('a beat', () => {
  const renew = (pod: ScriptedPod, tenure: Tenure = pod.tenure) =>
    instructionsOf(pod).renewLease({ lock: fixture.lock, seq: 1, tenure });

  test('extends the lease and tells what the listener does', async () => {
    const a = await fixture.holder('us-east-a');
    a.group.listener.stats.set(fixture.lock, {
      lock: fixture.lock,
      token: a.token,
      processed: 41,
      failed: 0,
      deadLettered: 0,
      inFlight: 3,
      lastFinishedAt: null,
    });
    const { confirmed } = a.agent.candidacy;
    const result = await renew(a);
    expect(result).toMatchObject({ outcome: 'extended', processed: 41, inFlight: 3 });
    expect(result).toMatchObject({ receipt: { to: { token: a.token } } });
    expect(a.agent.candidacy.confirmed).not.toBe(confirmed);
    const { leaseTtlMs, deadlineMarginMs } = a.agent.settings;
    const { marginMs } = result as { marginMs: number };
    expect(marginMs).toBeGreaterThan(0);
    expect(marginMs).toBeLessThanOrEqual(leaseTtlMs - deadlineMarginMs);
  });

  test('that etcd does not answer is unknown, and leaves the tenure alone', async () => {
    const a = await fixture.holder('us-east-a');
    jest.spyOn(a.store, 'keepAlive').mockRejectedValue(new UnknownOutcomeError('no answer'));
    // One that was under way may still be confirmed.
    const result = await eventually(async () => {
      const beat = await renew(a);
      expect(beat.outcome).toBe('unknown');
      return beat;
    });
    expect(result).toMatchObject({ why: 'extension unknown' });
    expect((result as { marginMs: number }).marginMs).toBeGreaterThan(0);
    expect(a.agent.tenure?.phase).toBe('running');
  });

  test('of a tenure that another pod has taken over is lost, and names the holder', async () => {
    const a = await fixture.holder('us-east-a');
    const b = await fixture.standby('us-west-a');
    const { tenure } = a;
    await a.agent.instructions.toTargets(a.switchInput([b]));
    const token = await b.untilHolding();
    await expect(renew(a, tenure)).resolves.toEqual({
      outcome: 'lost',
      why: `etcd shows us-west/us-west-a with token ${token} as holder`,
      holder: b.tenure,
    });
  });

  test('of a tenure that this pod has under a newer token is lost, and names that one', async () => {
    const a = await fixture.holder('us-east-a');
    const { tenure } = a;
    a.group.crash();
    const token = await a.untilHolding(tenure.token);
    await expect(renew(a, tenure)).resolves.toMatchObject({ outcome: 'lost', holder: { token } });
  });

  test('with nobody as holder is lost', async () => {
    const a = await fixture.holder('us-east-a');
    const { tenure } = a;
    await a.agent.shutDown('SIGTERM');
    await expect(renew(a, tenure)).resolves.toEqual({
      outcome: 'lost',
      why: 'etcd shows no holder',
      holder: null,
    });
  });

  test('that itself finds the lease gone is lost', async () => {
    const a = await fixture.holder('us-east-a');
    const { tenure } = a;
    // A pod that cannot win again at once.
    await a.agent.standDown('a test');
    await fixture.etcd.store.revokeLease(tenure.leaseId);
    await expect(renew(a, tenure)).resolves.toMatchObject({ outcome: 'lost', holder: null });
    expect(a.agent.tenure).toBeNull();
  });
});

describe('startListener', () => {
  const start = (pod: ScriptedPod, tenure: Tenure) =>
    instructionsOf(pod).startListener({ lock: fixture.lock, seq: 1, tenure });

  test('says that the listener consumes', async () => {
    const a = await fixture.holder('us-east-a');
    await expect(start(a, a.tenure)).resolves.toEqual({
      outcome: 'started',
      why: `the listener consumes with token ${a.token}`,
    });
  });

  test('refuses an older tenure than the one that runs', async () => {
    const a = await fixture.holder('us-east-a');
    const { tenure } = a;
    a.group.crash();
    const token = await a.untilHolding(tenure.token);
    await expect(start(a, tenure)).resolves.toEqual({
      outcome: 'refused',
      why: `a newer tenure runs, with token ${token}`,
    });
  });

  test('refuses where this pod does not hold the lock', async () => {
    const a = await fixture.holder('us-east-a');
    const b = await fixture.standby('us-west-a');
    await expect(start(b, a.tenure)).resolves.toEqual({
      outcome: 'refused',
      why: 'this pod does not hold the lock',
    });
  });

  test('refuses while the listener does not consume', async () => {
    const a = fixture.pod('us-east-a');
    a.group.listener.onStart = () => {};
    a.stand();
    const tenure = await eventually(() => a.tenure);
    await expect(start(a, tenure)).resolves.toEqual({
      outcome: 'refused',
      why: 'the listener does not consume yet',
    });
  });
});

test('a probe names what keeps the pod from taking over', async () => {
  const a = fixture.pod('us-east-a', { warm: false });
  const probe = () => instructionsOf(a).probe({ lock: fixture.lock });
  await eventually(async () =>
    expect(await probe()).toMatchObject({ ready: false, why: 'listener is starting' }),
  );
  a.group.becomeCold('the broker is away');
  expect(await probe()).toMatchObject({
    ready: false,
    why: 'the broker is away',
    checks: [
      { check: 'broker reachable', passed: false, why: 'the broker is away' },
      { check: 'workflow running' },
      { check: 'clock margin' },
    ],
  });
  a.group.becomeWarm();
  await eventually(async () =>
    expect(await probe()).toMatchObject({ ready: false, why: 'does not stand for the lock' }),
  );
  a.stand();
  await eventually(async () =>
    expect(await probe()).toMatchObject({ ready: true, why: 'ready and standing' }),
  );
  await a.agent.shutDown('SIGTERM');
  expect(await probe()).toMatchObject({ ready: false, why: 'is shutting down' });
});

test("an inspection gives etcd's word, whoever is asked", async () => {
  const a = await fixture.holder('us-east-a');
  const b = await fixture.standby('us-west-a');
  const paused = { who: 'me', why: 'a test', when: 'now' };
  await fixture.etcd.putRaw(fixture.etcd.keys.paused, encodeValue('paused', paused).toString());
  const truth = await instructionsOf(b).inspectLock({ lock: fixture.lock });
  expect(truth).toMatchObject({
    holder: a.tenure,
    paused,
    blocked: null,
    successor: null,
    last: { cause: 'first', to: { token: a.token } },
  });
  expect(truth.candidates.map(({ pod, state }) => [pod, state])).toEqual([
    ['us-east-a', 'ready'],
    ['us-west-a', 'ready'],
  ]);
});

describe('the wait for a successor', () => {
  test('ends with its first message, which completes the receipt', async () => {
    const a = await fixture.holder('us-east-a');
    const b = await fixture.standby('us-west-a');
    const input = a.switchInput([b]);
    const { switchId } = input;
    const waited = instructionsOf(a).awaitSuccessor({ lock: fixture.lock, switchId, waitMs: 30_000 }, over);
    await a.agent.instructions.toTargets(input);
    const token = await b.untilHolding();
    const startedAt = Date.now();
    b.group.emit('firstMessage', b.group.listener.asProcess, fixture.lock, token, startedAt);
    const { holder, receipt } = await waited;
    expect(holder).toEqual(b.tenure);
    expect(receipt).toMatchObject({ id: switchId, firstStartedAt: new Date(startedAt).toISOString() });
    expect(receipt?.gapMs).toBe(startedAt - Date.parse(receipt?.lastFinishedAt ?? ''));
  });

  test('ends with what there is when the time is up or it is cancelled', async () => {
    const a = await fixture.holder('us-east-a');
    const wait = { lock: fixture.lock, switchId: 'never' };
    const { tenure } = a;
    const pod = instructionsOf(a);
    await expect(pod.awaitSuccessor({ ...wait, waitMs: 100 }, over)).resolves.toEqual({
      holder: tenure,
      receipt: null,
    });
    await expect(pod.awaitSuccessor({ ...wait, waitMs: 60_000 }, AbortSignal.abort())).resolves.toEqual({
      holder: tenure,
      receipt: null,
    });
  });
});
