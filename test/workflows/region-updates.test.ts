import { setTimeout as sleep } from 'node:timers/promises';
import type { WorkflowHandle } from '@temporalio/client';
import type { DrainAndHandOverInput, HandOverOutcome } from '../../workflows/contract';
import type { FakePod } from './fake-pod';
import { eventually } from '../support/eventually';
import { RegionFixture } from './region-fixture';

jest.setTimeout(180_000);

let fixture: RegionFixture;
const given = async (...settings: Parameters<typeof RegionFixture.create>): Promise<RegionFixture> => {
  fixture = await RegionFixture.create(...settings);
  return fixture;
};
afterEach(() => fixture.close());

const asked = (switchId: string, to?: string) => ({
  switchId,
  reason: 'maintenance',
  by: 'anna',
  ...(to === undefined ? {} : { to }),
});

/** As a client does it: again and again under the same id. */
async function switchTo(switchId: string, to?: string) {
  for (;;) {
    const answer = await fixture.client.switchTo(fixture.lock, fixture.east, asked(switchId, to));
    if (answer.outcome !== 'ask-again') return answer;
    await sleep(50);
  }
}

async function updatesIn(handle: WorkflowHandle): Promise<number> {
  const { events } = await handle.fetchHistory();
  return events?.filter((event) => event.workflowExecutionUpdateAcceptedEventAttributes).length ?? 0;
}

/** The drain lasts until the test says how it ends. */
function holdDrain(pod: FakePod): (end: (input: DrainAndHandOverInput) => HandOverOutcome) => void {
  let finish!: (end: (input: DrainAndHandOverInput) => HandOverOutcome) => void;
  const ended = new Promise<(input: DrainAndHandOverInput) => HandOverOutcome>(
    (resolve) => (finish = resolve),
  );
  pod.drainAndHandOver = async (input) => {
    pod.calls.push({ method: 'drainAndHandOver', input });
    return (await ended)(input);
  };
  return finish;
}

describe('switchTo', () => {
  it('returns the receipt with its steps, and asked again the same, without a second drain', async () => {
    await given();
    const { pod, tenure } = await fixture.active();
    const target = await fixture.pod('w1', fixture.west);
    const first = await switchTo('s1', fixture.west);
    expect(first).toMatchObject({
      outcome: 'answered',
      answer: {
        switchId: 's1',
        result: 'done',
        receipt: { id: 's1', from: { token: tenure.token }, to: { pod: target.pod }, gapMs: 21 },
        steps: [{ step: 'preflight' }, { step: 'drain' }, { step: 'successor' }],
      },
    });
    expect(await switchTo('s1', fixture.west)).toEqual(first);
    expect(pod.callsOf('drainAndHandOver')).toHaveLength(1);
    await fixture.record('switch-to');
  });

  it('turns down at once what cannot work, and leaves no trace of it in history', async () => {
    const { lock, east, west } = await given();
    await fixture.client.start(lock, west);
    await fixture.pod('w1', west);
    expect(await fixture.client.switchTo(lock, west, asked('s0'))).toMatchObject({
      outcome: 'turned-down',
      why: expect.stringContaining(`${lock} is not active in ${west}`),
    });
    const { pod } = await fixture.active();
    expect(await switchTo('s1', east)).toEqual({
      outcome: 'turned-down',
      why: `${lock} is active in ${east} already`,
    });
    for (const [payload, why] of [
      [null, 'switchTo: expected an object, got null'],
      [
        { reason: 'x', by: 'y' },
        'switchTo: switchId: expected 1 to 200 letters, digits, ".", "_" and "-", got nothing',
      ],
      [{ switchId: 's', by: 'y' }, 'switchTo: reason: expected text, got undefined'],
      [
        { switchId: 's', reason: 'x', by: 'y', notAfter: Date.now() - 90_000 },
        expect.stringMatching(/^switchTo: comes \d+ s too late, and is not carried out$/) as string,
      ],
      [
        { switchId: 's', reason: 'x', by: 'y', to: 7 },
        'switchTo: to: expected 1 to 200 letters, digits, ".", "_" and "-", got number',
      ],
    ] as const)
      await expect(fixture.handle().executeUpdate('switchTo', { args: [payload] })).rejects.toMatchObject({
        cause: { type: 'TurnedDown', message: why },
      });
    expect(await updatesIn(fixture.handle())).toBe(0);
    expect(await updatesIn(fixture.handle(west))).toBe(0);
    expect(pod.callsOf('drainAndHandOver')).toEqual([]);
  });

  it('of two operators at once serves one, and tells the other whose switch is under way', async () => {
    await given();
    const { pod } = await fixture.active();
    await fixture.pod('w1', fixture.west);
    const finish = holdDrain(pod);
    const first = switchTo('s1', fixture.west);
    await fixture.until({ phase: 'draining' });
    expect(await switchTo('s2', fixture.west)).toMatchObject({
      outcome: 'turned-down',
      why: expect.stringContaining('switch s1 is under way'),
    });
    finish((input) => pod.handOver(input));
    expect(await first).toMatchObject({ answer: { result: 'done' } });
    expect(pod.callsOf('drainAndHandOver')).toHaveLength(1);
  });

  it('answers also when its client has died meanwhile', async () => {
    await given();
    const { pod } = await fixture.active();
    await fixture.pod('w1', fixture.west);
    const finish = holdDrain(pod);
    await fixture.handle().startUpdate('switchTo', {
      args: [asked('s1', fixture.west)],
      waitForStage: 'ACCEPTED',
      updateId: 'of a client that is gone',
    });
    await fixture.until({ phase: 'draining' });
    finish((input) => pod.handOver(input));
    expect(await switchTo('s1', fixture.west)).toMatchObject({ answer: { result: 'done' } });
    expect(pod.callsOf('drainAndHandOver')).toHaveLength(1);
  });

  it('and signals every 5 ms across many continue-as-news are each taken once', async () => {
    await given({ historyLimit: 100 });
    const { pod } = await fixture.active();
    await fixture.pod('w1', fixture.west);
    pod.drainAndHandOver = async (input) => {
      pod.calls.push({ method: 'drainAndHandOver', input });
      return { outcome: 'resumed', why: 'as the test wants it' };
    };
    const before = (await fixture.status()).signals?.taken ?? 0;
    const handle = fixture.handle();
    let signals = 0;
    const switching = { done: false };
    const sent: Promise<void>[] = [];
    const signalling = (async () => {
      // Not for ever: a run cannot end while signals keep coming faster than it takes them.
      for (; !switching.done && signals < 600; signals++) {
        sent.push(handle.signal('tenureEnded', { pod: 'nobody', token: 10_000 + signals, why: 'load' }));
        await sleep(5);
      }
      await Promise.all(sent);
    })();
    const ids = Array.from({ length: 15 }, (_, index) => `s${index}`);
    for (const id of ids) {
      expect(await switchTo(id)).toMatchObject({ answer: { result: 'rolled-back' } });
      // Between two switches a run may end.
      await sleep(200);
    }
    switching.done = true;
    await signalling;
    const drained = pod.callsOf<DrainAndHandOverInput>('drainAndHandOver').map(({ switchId }) => switchId);
    expect(drained).toEqual(ids);
    // An update counts like a signal.
    const status = await fixture.until({ signals: { taken: before + signals + ids.length, malformed: 0 } });
    expect(status.runs).toBeGreaterThan(2);
  });
});

describe('abortSwitch', () => {
  const abort = (switchId: string) =>
    fixture.client.abortSwitch(fixture.lock, fixture.east, { switchId, reason: 'wrong day', by: 'ben' });

  it('in the preflight ends the switch with nothing touched', async () => {
    await given();
    const { pod } = await fixture.active();
    const target = await fixture.pod('w1', fixture.west);
    let answer = (): void => undefined;
    target.probe = () =>
      new Promise((resolve) => {
        answer = () => resolve({ ready: true, why: 'ready' });
      });
    const switching = switchTo('s1', fixture.west);
    await fixture.until({ lastSwitches: [{ switchId: 's1', result: 'running' }] });
    expect(await abort('s1')).toMatchObject({
      answer: { result: 'rolled-back', why: 'aborted by ben (wrong day) before anything was touched' },
    });
    expect(await switching).toMatchObject({ answer: { result: 'rolled-back' } });
    answer();
    await fixture.until({ phase: 'active' });
    expect(pod.callsOf('drainAndHandOver')).toEqual([]);
    expect(fixture.truth.aborted).toEqual([]);
  });

  it('during the drain is committed, and the holder goes on under the same token', async () => {
    await given();
    const { pod, tenure } = await fixture.active();
    await fixture.pod('w1', fixture.west);
    const finish = holdDrain(pod);
    const switching = switchTo('s1', fixture.west);
    await fixture.until({ phase: 'draining' });
    const aborting = abort('s1');
    await eventually(() => expect(fixture.truth.aborted).toEqual(['s1']));
    finish(() => ({ outcome: 'resumed', why: 'switch s1 has been aborted' }));
    const expected = {
      answer: {
        result: 'rolled-back',
        why: 'aborted by ben (wrong day); consumes again under the same token: switch s1 has been aborted',
      },
    };
    expect(await aborting).toMatchObject(expected);
    expect(await switching).toMatchObject(expected);
    await fixture.until({ phase: 'active', tenure: { token: tenure.token } });
    await fixture.record('aborted-switch');
  });

  it('that comes after the hand-over says so, and so does one for a switch that nobody knows', async () => {
    await given();
    const { pod } = await fixture.active();
    const target = await fixture.pod('w1', fixture.west);
    let successor = (): void => undefined;
    for (const each of [pod, target])
      each.awaitSuccessor = () =>
        new Promise((resolve) => {
          successor = () => resolve({ holder: fixture.truth.holder, receipt: fixture.truth.last });
        });
    const switching = switchTo('s1', fixture.west);
    await fixture.until({ phase: 'handing-over' });
    expect(await abort('s1')).toMatchObject({
      outcome: 'turned-down',
      why: expect.stringMatching(
        /^switch s1 cannot be undone any more: handed over to .*; ask for a switch back/,
      ),
    });
    expect(await abort('s9')).toMatchObject({
      outcome: 'turned-down',
      why: expect.stringContaining('switch s9 is not known'),
    });
    await eventually(() => expect(successor()).toBeUndefined());
    expect(await switching).toMatchObject({ answer: { result: 'done' } });
    expect(await abort('s1')).toMatchObject({ answer: { result: 'done' } });
  });
});

describe('preflight', () => {
  it('has a verdict with its values for the lock, for each region and for each candidate', async () => {
    const { east, west } = await given({ minSwitchIntervalMs: 1_000 });
    const { pod } = await fixture.active();
    const north = `north-${west}`;
    const cold = await fixture.pod('n1', north);
    const warm = await fixture.pod('w1', west);
    cold.probe = async () => ({
      ready: false,
      why: 'no broker',
      checks: [{ check: 'broker reachable', passed: false, why: 'ECONNREFUSED' }],
    });
    fixture.truth.recentGapsMs = [12, 40, 9];
    const answer = await fixture.preflight(east);
    expect(answer).toMatchObject({
      outcome: 'answered',
      answer: { able: [west], recentGapsMs: [12, 40, 9] },
    });
    const { checks } = (answer as { answer: { checks: object[] } }).answer;
    expect(checks).toEqual(
      expect.arrayContaining([
        expect.objectContaining({ check: 'holder', region: null, passed: true }),
        expect.objectContaining({ check: 'not paused', passed: true }),
        expect.objectContaining({ check: 'no other switch', passed: true }),
        expect.objectContaining({ check: 'time since last change', passed: true }),
        expect.objectContaining({ check: 'candidate', region: west, passed: true }),
        expect.objectContaining({ check: 'pod answers', region: west, pod: warm.pod, passed: true }),
        expect.objectContaining({ check: 'pod answers', region: north, pod: cold.pod, passed: false }),
        expect.objectContaining({
          check: 'broker reachable',
          region: north,
          passed: false,
          why: 'ECONNREFUSED',
        }),
      ]),
    );
    expect(pod.callsOf('drainAndHandOver')).toEqual([]);
    await fixture.record('preflight');
  });

  it('says that nobody can be asked where no pod is known', async () => {
    const { lock, west, client } = await given();
    await client.start(lock, west);
    // Its worker, so that the workflow runs; the pod itself is not registered there.
    const stranger = await fixture.pod('w1', west);
    await fixture.handle(west).signal('podStopping', { pod: stranger.pod, why: 'leaves' });
    await eventually(async () => {
      stranger.end();
      expect((await fixture.status(west)).pods).toEqual([]);
    });
    expect(await fixture.preflight(west)).toMatchObject({
      outcome: 'turned-down',
      why: 'nobody could be asked: no pod is known that could be asked',
    });
  });
});

it('force goes through a pod, and the region of the old holder takes note of it', async () => {
  await given();
  const { pod, tenure } = await fixture.active();
  const force = {
    switchId: 'f1',
    token: tenure.token,
    to: fixture.west,
    reason: 'it hangs',
    by: 'ben',
    waitFor: 'deadline' as const,
  };
  expect(await fixture.client.force(fixture.lock, fixture.east, force)).toMatchObject({
    outcome: 'answered',
    answer: { outcome: 'released', receipt: { id: 'f1', cause: 'force' } },
  });
  expect(pod.callsOf('force')).toMatchObject([{ token: tenure.token, to: fixture.west }]);
  await fixture.until({ phase: 'standby', tenure: null, receipts: [{ id: 'f1' }] });
  const again = { ...force, switchId: 'f2' };
  expect(await fixture.client.force(fixture.lock, fixture.east, again)).toMatchObject({
    answer: { outcome: 'refused' },
  });
  await fixture.record('force');
});

describe('marks', () => {
  const mark = (kind: 'pause' | 'resume' | 'cordon' | 'uncordon', region?: string) =>
    fixture.client.mark(fixture.lock, fixture.east, {
      kind,
      ...(region === undefined ? {} : { region }),
      reason: 'works on the line',
      by: 'ben',
    } as Parameters<RegionFixture['client']['mark']>[2]);

  it('pause and resume are written by a pod, turn switches down, and show', async () => {
    await given();
    const { pod } = await fixture.active();
    await fixture.pod('w1', fixture.west);
    expect(await mark('pause')).toMatchObject({ outcome: 'answered', answer: { changed: true } });
    expect(pod.callsOf('mark')).toHaveLength(1);
    await fixture.until({
      phase: 'active',
      why: expect.stringContaining('pause by ben (works on the line)'),
    });
    expect(await switchTo('s1', fixture.west)).toEqual({
      outcome: 'turned-down',
      why: `${fixture.lock} is paused`,
    });
    await mark('resume');
    expect(await switchTo('s1', fixture.west)).toMatchObject({ answer: { result: 'done' } });
    await fixture.record('marks');
  });

  it('cordon of the active region hands over to another one', async () => {
    await given();
    await fixture.active();
    const target = await fixture.pod('w1', fixture.west);
    await mark('cordon', fixture.east);
    const status = await fixture.until({ phase: 'standby', lastSwitches: [{ result: 'done', by: 'ben' }] });
    expect(status.lastSwitches[0]).toMatchObject({
      reason: `${fixture.east} was cordoned: works on the line`,
      receipt: { to: { pod: target.pod } },
    });
  });

  it('cordon with nobody to take over says why, and stays active', async () => {
    await given();
    const { tenure } = await fixture.active();
    await mark('cordon', fixture.east);
    await fixture.until({
      phase: 'active',
      tenure: { token: tenure.token },
      lastSwitches: [{ result: 'refused', why: expect.stringContaining('no candidate in any other region') }],
    });
    await mark('uncordon', fixture.east);
    expect(fixture.truth.cordons).toEqual([]);
  });

  it('that are malformed are turned down', async () => {
    await given();
    await fixture.active();
    for (const [update, payload, why] of [
      [
        'cordon',
        { reason: 'x', by: 'y' },
        'cordon: region: expected 1 to 200 letters, digits, ".", "_" and "-"',
      ],
      ['pause', { by: 'y' }, 'pause: reason: expected text'],
      ['ack', null, 'ack: expected an object, got null'],
    ] as const)
      await expect(fixture.handle().executeUpdate(update, { args: [payload] })).rejects.toMatchObject({
        cause: { message: expect.stringContaining(why) },
      });
    expect(await updatesIn(fixture.handle())).toBe(0);
  });
});
