import { RefusedError, UnknownOutcomeError } from '../../activities/errors';
import { encodeValue } from '../../src/etcd/lock-keys';
import type { ChangeResult, HolderChange } from '../../src/pod/lock-store';
import { eventually } from '../support/eventually';
import { candidateOf, PodFixture, settled, type ScriptedPod } from './pod-fixture';
import { drained } from './scripted-listener';

let fixture: PodFixture;
beforeEach(() => (fixture = new PodFixture()));
afterEach(async () => {
  jest.restoreAllMocks();
  await fixture.close();
});

/** So that the hand-over itself is refused. */
function abortDuringDrain(
  { group }: ScriptedPod,
  switchId: string,
  report: Parameters<typeof drained>[0] = {},
): void {
  group.listener.onDrain = async () => {
    await fixture.etcd.store.abortSwitch(switchId, 'rolled back');
    return drained(report);
  };
}

describe('a planned switch', () => {
  test('drains the holder, starts the target, and leaves the figures in the receipt', async () => {
    const a = await fixture.holder('us-east-a');
    const b = await fixture.standby('us-west-a');
    const { token } = a;
    const outcome = await a.agent.instructions.toTargets(a.switchInput([b]));
    const next = await b.untilHolding();
    expect(outcome).toMatchObject({
      outcome: 'handed-over',
      receipt: {
        cause: 'switch',
        from: { pod: 'us-east-a', token },
        to: { pod: 'us-west-a', token: next },
        drained: 2,
        requeued: 1,
      },
    });
    expect(a.agent.tenure).toBeNull();
    // Nothing of the tenure runs in it any more: it stays, and stays warm.
    expect(a.group.listener.told).toEqual([`start ${token}`, `drain ${token}`, `end ${token}`]);
    // Who ordered it has the answer.
    expect(a.notices).toEqual([]);
    expect((await fixture.view()).holder).toMatchObject({ pod: 'us-west-a', token: next });
  });

  test('drains only once the target consumes ahead, which begins before the hand-over', async () => {
    const a = await fixture.holder('us-east-a');
    const b = await fixture.standby('us-west-a');
    const target = b.group.listener;
    let sayPrepared = (): void => {};
    target.onPrepare = () => (sayPrepared = () => b.group.emit('prepared', target.asProcess, fixture.lock));
    const { leaseId } = (
      await fixture.until('it is there', (v) => candidateOf(v, 'us-west-a') !== undefined)
    ).candidates.find(({ pod }) => pod === 'us-west-a') ?? { leaseId: '' };
    const outcome = a.agent.instructions.toTargets(a.switchInput([b]));
    await eventually(() => expect(target.preparation).toMatchObject({ leaseId }), 15_000);
    expect(target.preparation?.afterToken).toBeLessThanOrEqual(a.token);
    await settled(b);
    expect(a.group.listener.told).toEqual([`start ${a.token}`]);
    expect(a.agent.tenure?.phase).toBe('running');
    sayPrepared();
    await expect(outcome).resolves.toMatchObject({ outcome: 'handed-over' });
    const token = await b.untilHolding();
    expect(target.starts.map((start) => start.token)).toEqual([token]);
  });

  test('whose target does not answer the offer drains nothing and takes the offer back', async () => {
    const a = await fixture.holder('us-east-a');
    const b = await fixture.standby('us-west-a');
    b.group.listener.onPrepare = () => {};
    const { token } = a;
    const outcome = await a.agent.instructions.toTargets(a.switchInput([b]));
    expect(outcome).toMatchObject({
      outcome: 'resumed',
      why: expect.stringContaining('us-west/us-west-a') as string,
    });
    expect(a.group.listener.told).toEqual([`start ${token}`]);
    expect(candidateOf(await fixture.view(), 'us-east-a')).toMatchObject({ state: 'ready' });
    await eventually(() => expect(b.group.listener.preparation).toBeNull(), 15_000);
    expect(b.group.listener.starts).toEqual([]);
  });

  test('whose target has begun by itself is taken up where it is', async () => {
    const a = await fixture.holder('us-east-a');
    const b = await fixture.standby('us-west-a');
    // The listener sees the hand-over first; its agent a moment later.
    const observe = b.agent.observe.bind(b.agent);
    jest.spyOn(b.agent, 'observe').mockImplementation((view) => {
      const { holder } = view;
      if (holder?.pod === 'us-west-a' && b.group.listener.starts.length === 0 && b.agent.tenure === null)
        b.group.startAhead(holder.token, { firstMessageAt: Date.now() });
      observe(view);
    });
    const outcome = await a.agent.instructions.toTargets(a.switchInput([b]));
    expect(outcome).toMatchObject({ outcome: 'handed-over' });
    const token = await b.untilHolding();
    expect(b.group.listener.killedFor).toBeNull();
    expect(b.group.listener.starts.map((start) => start.token)).toEqual([token]);
    const receipt = await eventually(async () => {
      const last = (await fixture.view()).last?.receipt;
      const found = last && (await fixture.etcd.store.readReceipt(last.id));
      expect(found?.firstStartedAt).toBeTruthy();
      return found;
    }, 15_000);
    expect(receipt?.to).toMatchObject({ pod: 'us-west-a', token });
  });

  test('a listener that begins a tenure for which it is not prepared is killed', async () => {
    const a = await fixture.holder('us-east-a');
    const b = await fixture.standby('us-west-a');
    const listener = b.group.listener;
    b.group.startAhead(a.token + 1);
    await eventually(() => expect(listener.hasExited).toBe(true), 15_000);
    expect((await fixture.view()).holder?.token).toBe(a.token);
  });

  test('whose target is gone goes on under the same token, without a drain', async () => {
    const a = await fixture.holder('us-east-a');
    const { token } = a;
    const targets = [{ region: 'us-west', pod: 'gone' }];
    const outcome = await a.agent.instructions.toTargets(a.switchInput([], { targets }));
    expect(outcome).toMatchObject({ outcome: 'resumed', why: expect.stringContaining('gone') as string });
    expect(a.agent.tenure?.phase).toBe('running');
    expect(a.group.listener.told).toEqual([`start ${token}`]);
    const view = await fixture.view();
    expect(view.holder?.token).toBe(token);
    expect(candidateOf(view, 'us-east-a')?.state).toBe('ready');
  });

  test('goes to the next target when the first cannot take it', async () => {
    const a = await fixture.holder('us-east-a');
    const cold = await fixture.standby('us-west-a');
    const b = await fixture.standby('us-west-b');
    cold.group.becomeCold('the broker is away');
    await fixture.until('it says so', (view) => candidateOf(view, 'us-west-a')?.state === 'unhealthy');
    const outcome = await a.agent.instructions.toTargets(a.switchInput([cold, b]));
    expect(outcome).toMatchObject({ outcome: 'handed-over', receipt: { to: { pod: 'us-west-b' } } });
    await b.untilHolding();
    expect(cold.group.listener.starts).toEqual([]);
  });

  test('that was aborted before is refused, and nothing is drained', async () => {
    const a = await fixture.holder('us-east-a');
    const b = await fixture.standby('us-west-a');
    const input = a.switchInput([b]);
    await fixture.etcd.store.abortSwitch(input.switchId, 'rolled back');
    await expect(a.agent.instructions.toTargets(input)).resolves.toMatchObject({ outcome: 'refused' });
    expect(a.group.listener.told).toEqual([`start ${a.token}`]);
  });

  test('that is aborted during its drain resumes', async () => {
    const a = await fixture.holder('us-east-a');
    const b = await fixture.standby('us-west-a');
    const { token } = a;
    const input = a.switchInput([b]);
    abortDuringDrain(a, input.switchId);
    await expect(a.agent.instructions.toTargets(input)).resolves.toMatchObject({ outcome: 'resumed' });
    expect(a.group.listener.told.at(-1)).toBe(`resume ${token}`);
    expect((await fixture.view()).holder?.token).toBe(token);
  });

  test('asked for twice drains once and answers the same, also after it is done', async () => {
    const a = await fixture.holder('us-east-a');
    const b = await fixture.standby('us-west-a');
    const input = a.switchInput([b]);
    const listener = a.group.listener;
    const [first, second] = await Promise.all([
      a.agent.instructions.toTargets(input),
      a.agent.instructions.toTargets(input),
    ]);
    const third = await a.agent.instructions.toTargets(input);
    expect([second, third]).toEqual([first, first]);
    expect(listener.told.filter((line) => line.startsWith('drain'))).toHaveLength(1);
    // A pod that has no memory of it finds it in etcd.
    await expect(b.agent.instructions.toTargets(input)).resolves.toMatchObject({
      outcome: 'handed-over',
      receipt: { id: input.switchId, to: { pod: 'us-west-a' } },
    });
  });

  test('that was refused answers the same when asked for again, and drains no second time', async () => {
    const a = await fixture.holder('us-east-a');
    const b = await fixture.standby('us-west-a');
    const { token } = a;
    const input = a.switchInput([b]);
    abortDuringDrain(a, input.switchId);
    const first = await a.agent.instructions.toTargets(input);
    await expect(a.agent.instructions.toTargets(input)).resolves.toEqual(first);
    expect(a.group.listener.told).toEqual([`start ${token}`, `drain ${token}`, `resume ${token}`]);
  });

  test('for a tenure that is over changes nothing', async () => {
    const a = await fixture.holder('us-east-a');
    const b = await fixture.standby('us-west-a');
    const tenure = { ...a.tenure, token: a.token - 1 };
    const { instructions } = a.agent;
    await expect(instructions.toTargets(a.switchInput([b], { tenure }))).resolves.toMatchObject({
      outcome: 'lost',
    });
    await expect(instructions.release(a.releaseInput({ tenure }))).resolves.toMatchObject({
      outcome: 'lost',
    });
    expect(a.group.listener.told).toEqual([`start ${a.token}`]);
    expect((await fixture.view()).holder?.token).toBe(a.token);
  });

  test('whose drain runs into its limit hands over after the listener has exited', async () => {
    const a = await fixture.holder('us-east-a');
    const b = await fixture.standby('us-west-a');
    const listener = a.group.listener;
    listener.exitDelayMs = 500;
    listener.onDrain = () => Promise.resolve(drained({ complete: false }));
    const exitedAtStart: boolean[] = [];
    const target = b.group.listener;
    const { onStart } = target;
    target.onStart = (start) => {
      exitedAtStart.push(listener.hasExited);
      onStart(start);
    };
    await expect(a.agent.instructions.toTargets(a.switchInput([b]))).resolves.toMatchObject({
      outcome: 'handed-over',
    });
    await b.untilHolding();
    expect(exitedAtStart).toEqual([true]);
  });

  test('refused after such a drain goes on in the spare, under a new token', async () => {
    const a = await fixture.holder('us-east-a');
    const b = await fixture.standby('us-west-a');
    const { token } = a;
    const listener = a.group.listener;
    const input = a.switchInput([b]);
    abortDuringDrain(a, input.switchId, { complete: false });
    await expect(a.agent.instructions.toTargets(input)).resolves.toMatchObject({ outcome: 'resumed' });
    const next = await a.untilHolding(token);
    expect(listener.told).toEqual([`start ${token}`, `drain ${token}`, 'kill']);
    expect(a.group.listener.starts.map((start) => start.token)).toEqual([next]);
  });

  test('during whose drain the holder key is deleted ends as lost', async () => {
    const a = await fixture.holder('us-east-a');
    const b = await fixture.standby('us-west-a');
    const listener = a.group.listener;
    // Or it might win the lock again before the other does.
    a.group.replacement = 'none';
    listener.onDrain = async () => {
      await fixture.etcd.deleteRaw(fixture.etcd.keys.holder);
      return new Promise(() => {});
    };
    await expect(a.agent.instructions.toTargets(a.switchInput([b]))).resolves.toMatchObject({
      outcome: 'lost',
    });
    expect(listener.killedFor).not.toBeNull();
    await b.untilHolding();
  });

  test.each([true, false])(
    'whose answer is lost (applied: %p) is settled and happens once',
    async (applied) => {
      const a = await fixture.holder('us-east-a');
      const b = await fixture.standby('us-west-a');
      const original = a.store.changeHolder.bind(a.store);
      jest.spyOn(a.store, 'changeHolder').mockImplementationOnce(async (change) => {
        if (applied) await original(change);
        throw new UnknownOutcomeError('the answer is lost');
      });
      const input = a.switchInput([b]);
      const outcome = await a.agent.instructions.toTargets(input);
      const token = await b.untilHolding();
      expect(outcome).toMatchObject({ outcome: 'handed-over', receipt: { id: input.switchId } });
      expect(b.group.listener.starts.map((start) => start.token)).toEqual([token]);
      expect((await fixture.view()).holder?.token).toBe(token);
      expect(a.group.listener.told.some((line) => line.startsWith('resume'))).toBe(false);
    },
  );

  test('that was never answered can no longer be applied once the holder has resumed', async () => {
    const a = await fixture.holder('us-east-a');
    const b = await fixture.standby('us-west-a');
    const { token } = a;
    const sent: HolderChange[] = [];
    jest.spyOn(a.store, 'changeHolder').mockImplementation((change) => {
      sent.push(change);
      return Promise.reject(new UnknownOutcomeError('no answer'));
    });
    await expect(a.agent.instructions.toTargets(a.switchInput([b]))).resolves.toMatchObject({
      outcome: 'resumed',
    });
    expect(a.group.listener.told.at(-1)).toBe(`resume ${token}`);
    expect(sent.length).toBeGreaterThan(0);
    for (const change of sent)
      await expect(fixture.etcd.store.changeHolder(change)).resolves.toMatchObject({ outcome: 'refused' });
    expect((await fixture.view()).holder?.token).toBe(token);
  });

  test('that fails in an unexpected way after the drain ends the tenure, for another pod to take', async () => {
    const a = await fixture.holder('us-east-a');
    const b = await fixture.standby('us-west-a');
    const { token } = a;
    jest.spyOn(a.store, 'changeHolder').mockRejectedValue(new RefusedError('etcdserver: too many requests'));
    await expect(a.agent.instructions.toTargets(a.switchInput([b]))).rejects.toThrow(RefusedError);
    expect(a.agent.tenure).toBeNull();
    expect(a.notices.map((notice) => notice.token)).toEqual([token]);
    await b.untilHolding(token);
  });
});

describe('a hand-over that the drained listener commits by itself', () => {
  /** The listener's side of it: another client, as in another process. */
  const commit = (handOver: HolderChange | undefined): Promise<ChangeResult> => {
    if (!handOver) throw new Error('the listener was not given the hand-over');
    return fixture.etcd.store.changeHolder({ ...handOver, drained: 2, requeued: 1 });
  };

  test('is the only one, and the agent writes nothing more', async () => {
    const a = await fixture.holder('us-east-a');
    const b = await fixture.standby('us-west-a');
    const { token } = a;
    a.group.listener.onDrain = async (handOver) => drained({ handedOver: await commit(handOver) });
    const own = jest.spyOn(a.store, 'changeHolder');
    const input = a.switchInput([b]);
    await expect(a.agent.instructions.toTargets(input)).resolves.toMatchObject({
      outcome: 'handed-over',
      receipt: { id: input.switchId, cause: 'switch', drained: 2, requeued: 1, to: { pod: 'us-west-a' } },
    });
    await b.untilHolding(token);
    expect(own).not.toHaveBeenCalled();
    expect(a.group.listener.told).toEqual([`start ${token}`, `drain ${token}`, `end ${token}`]);
  });

  test('is no loss when its watch event is faster than the listener, whose report ends the tenure', async () => {
    const a = await fixture.holder('us-east-a');
    const b = await fixture.standby('us-west-a');
    const { token } = a;
    a.group.listener.onDrain = async (handOver) => {
      const handedOver = await commit(handOver);
      await eventually(() => expect(a.agent.view?.last?.receipt.id).toBe(handOver?.id), 15_000);
      expect(a.agent.tenure?.phase).toBe('draining');
      return drained({ handedOver });
    };
    await expect(a.agent.instructions.toTargets(a.switchInput([b]))).resolves.toMatchObject({
      outcome: 'handed-over',
    });
    await b.untilHolding(token);
    expect(a.group.listener.killedFor).toBeNull();
    expect(a.notices).toEqual([]);
  });

  test('that is not made by it, though to the same pod, is a loss: the listener is killed at once', async () => {
    const a = await fixture.holder('us-east-a');
    const b = await fixture.standby('us-west-a');
    const { token } = a;
    const { listener } = a.group;
    listener.onDrain = async (handOver) => {
      if (!handOver) throw new Error('the listener was not given the hand-over');
      await fixture.etcd.store.changeHolder({ ...handOver, id: 'somebody-else' });
      return new Promise(() => {});
    };
    await expect(a.agent.instructions.toTargets(a.switchInput([b]))).resolves.toMatchObject({
      outcome: 'lost',
    });
    expect(listener.killedFor).toContain('etcd shows us-west/us-west-a as holder');
    await b.untilHolding(token);
  });

  test.each([true, false])(
    'before it dies without a report (applied: %p) is settled and happens once',
    async (applied) => {
      const a = await fixture.holder('us-east-a');
      const b = await fixture.standby('us-west-a');
      const { token } = a;
      const { listener } = a.group;
      let sent: HolderChange | undefined;
      listener.onDrain = async (handOver) => {
        sent = handOver;
        if (applied) await commit(handOver);
        listener.exit('died of SIGKILL');
        return new Promise(() => {});
      };
      const input = a.switchInput([b]);
      await expect(a.agent.instructions.toTargets(input)).resolves.toMatchObject({
        outcome: 'handed-over',
        receipt: { id: input.switchId },
      });
      const next = await b.untilHolding(token);
      expect(b.group.listener.starts.map((start) => start.token)).toEqual([next]);
      // What the dead one had sent can no longer be applied, or was.
      if (sent) await fixture.etcd.store.changeHolder(sent);
      expect((await fixture.view()).holder?.token).toBe(next);
    },
  );

  test('that was refused goes on with what etcd shows now', async () => {
    const a = await fixture.holder('us-east-a');
    const b = await fixture.standby('us-west-a');
    const input = a.switchInput([b]);
    a.group.listener.onDrain = async (handOver) => {
      await fixture.etcd.store.abortSwitch(input.switchId, 'rolled back');
      return drained({ handedOver: await commit(handOver) });
    };
    const { token } = a;
    await expect(a.agent.instructions.toTargets(input)).resolves.toMatchObject({ outcome: 'resumed' });
    expect(a.group.listener.told.at(-1)).toBe(`resume ${token}`);
    expect((await fixture.view()).holder?.token).toBe(token);
  });

  test('serves a pod that is told to end, too', async () => {
    const a = await fixture.holder('us-east-a');
    const b = await fixture.standby('us-east-b');
    const { token } = a;
    a.group.listener.onDrain = async (handOver) => drained({ handedOver: await commit(handOver) });
    const own = jest.spyOn(a.store, 'changeHolder');
    await a.agent.shutDown('SIGTERM');
    await b.untilHolding(token);
    expect(own).not.toHaveBeenCalled();
    expect((await fixture.view()).last?.receipt).toMatchObject({ cause: 'shutdown', drained: 2 });
  });
});

describe('a release', () => {
  test('towards a region lets only that region acquire', async () => {
    const a = await fixture.holder('us-east-a');
    const near = await fixture.standby('us-east-b');
    const far = await fixture.standby('us-west-a');
    const { token } = a;
    const outcome = await a.agent.instructions.release(a.releaseInput({ towards: 'us-west' }));
    await far.untilHolding(token);
    expect(outcome).toMatchObject({
      outcome: 'released',
      receipt: { cause: 'release', to: null, drained: 2 },
    });
    expect(a.group.listener.told).toEqual([`start ${token}`, `drain ${token}`, `end ${token}`]);
    expect(near.group.listener.starts).toEqual([]);
  });

  test('asked for twice answers the same and drains once', async () => {
    const a = await fixture.holder('us-east-a');
    const b = await fixture.standby('us-west-a');
    const listener = a.group.listener;
    const input = a.releaseInput({ towards: 'us-west' });
    const first = await a.agent.instructions.release(input);
    await b.untilHolding();
    const second = await a.agent.instructions.release(input);
    expect(second).toMatchObject({ outcome: 'released' });
    expect([first, second].map((answer) => answer.outcome === 'released' && answer.receipt.id)).toEqual([
      input.switchId,
      input.switchId,
    ]);
    expect(listener.told.filter((line) => line.startsWith('drain'))).toHaveLength(1);
  });
});

describe('a pod that shuts down', () => {
  test('hands over to its own region first', async () => {
    const a = await fixture.holder('us-east-a');
    const far = await fixture.standby('us-west-a');
    const near = await fixture.standby('us-east-b');
    const { token } = a;
    await a.agent.shutDown('SIGTERM');
    await near.untilHolding(token);
    expect(far.group.listener.starts).toEqual([]);
    expect((await fixture.view()).last?.receipt).toMatchObject({
      cause: 'shutdown',
      why: 'SIGTERM',
      drained: 2,
    });
    expect(a.group.listener.told).toEqual([`start ${token}`, `drain ${token}`, `end ${token}`]);
    expect(a.notices.map((notice) => notice.token)).toEqual([token]);
    const own = candidateOf(await fixture.view(), 'us-east-a');
    expect(own).toMatchObject({ state: 'draining', standing: false });
    await a.agent.finish();
    expect(candidateOf(await fixture.view(), 'us-east-a')).toBeUndefined();
  });

  test('hands over to another region when its own has nobody', async () => {
    const a = await fixture.holder('us-east-a');
    const far = await fixture.standby('us-west-a');
    await a.agent.shutDown('SIGTERM');
    await far.untilHolding();
    expect((await fixture.view()).last?.receipt).toMatchObject({
      cause: 'shutdown',
      to: { region: 'us-west' },
    });
  });

  test('hands over within its region also while paused, and releases to nobody else', async () => {
    const a = await fixture.holder('us-east-a');
    const near = await fixture.standby('us-east-b');
    const far = await fixture.standby('us-west-a');
    const paused = encodeValue('paused', { who: 'me', why: 'a test', when: 'now' }).toString();
    await fixture.etcd.putRaw(fixture.etcd.keys.paused, paused);
    await a.agent.shutDown('SIGTERM');
    await near.untilHolding();
    await near.agent.shutDown('SIGTERM');
    await settled(far);
    expect((await fixture.view()).holder).toBeNull();
    expect(far.group.listener.starts).toEqual([]);
  });

  test('releases the lock when it is alone, and does not take it again', async () => {
    const a = await fixture.holder('us-east-a');
    const { token } = a;
    await a.agent.shutDown('SIGTERM');
    await settled(a);
    const view = await fixture.view();
    expect(view.holder).toBeNull();
    expect(view.last?.receipt).toMatchObject({ cause: 'release', from: { token }, to: null, drained: 2 });
    expect(a.notices.map((notice) => notice.token)).toEqual([token]);
  });

  test('joins the drain that the workflow ordered', async () => {
    const a = await fixture.holder('us-east-a');
    const b = await fixture.standby('us-west-a');
    const listener = a.group.listener;
    let finish = (): void => {};
    listener.onDrain = () => new Promise((resolve) => (finish = () => resolve(drained())));
    const ordered = a.agent.instructions.toTargets(a.switchInput([b]));
    await eventually(() => expect(listener.told.at(-1)).toContain('drain'));
    const stopped = a.agent.shutDown('SIGTERM');
    finish();
    await expect(ordered).resolves.toMatchObject({ outcome: 'handed-over' });
    await stopped;
    expect(listener.told.filter((line) => line.startsWith('drain'))).toHaveLength(1);
    await b.untilHolding();
  });

  test('says so in its candidate key, so that nobody hands the lock to it', async () => {
    const a = await fixture.holder('us-east-a');
    const b = await fixture.standby('us-west-a');
    await b.agent.shutDown('SIGTERM');
    expect(candidateOf(await fixture.view(), 'us-west-a')).toMatchObject({
      state: 'draining',
      standing: false,
    });
    await expect(a.agent.instructions.toTargets(a.switchInput([b]))).resolves.toMatchObject({
      outcome: 'resumed',
    });
    expect(b.group.listener.starts).toEqual([]);
  });
});
