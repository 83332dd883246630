import { RefusedError, UnknownOutcomeError } from '../../activities/errors';
import type {
  AwaitTenureInput,
  DrainAndHandOverInput,
  HandOverOutcome,
  TenureInput,
} from '../../workflows/contract';
import { eventually } from '../support/eventually';
import { RegionFixture } from './region-fixture';

jest.setTimeout(120_000);

let fixture: RegionFixture;
const given = async (...settings: Parameters<typeof RegionFixture.create>): Promise<RegionFixture> => {
  fixture = await RegionFixture.create(...settings);
  return fixture;
};
afterEach(() => fixture.close());

describe('a region', () => {
  it('reports a takeover, then renews at every beat, and shows both', async () => {
    const { client, lock, east } = await given();
    expect(await client.start(lock, east)).toBe('started');
    expect(await client.start(lock, east)).toBe('already-running');
    const pod = await fixture.pod('e1');
    await fixture.until({ phase: 'standby', pods: [{ pod: pod.pod, awaiting: true, silent: false }] });

    const { token } = fixture.truth.give(pod);
    const status = await fixture.until({ phase: 'active', tenure: { pod: pod.pod, token } });
    expect(status.why).toBe(`active: ${pod.pod} holds ${lock} with token ${token} (${pod.pod} reports)`);

    // The second one, or whichever a slow machine gets to see.
    const renewed = expect.stringMatching(/^extended, 3.1 s left, processed ([2-9]|\d\d)00$/) as string;
    await fixture.until({ beat: { outcome: renewed, inFlight: 2 } });
    expect(pod.callsOf<TenureInput>('startListener')).toMatchObject([{ tenure: { token } }]);
    const { searchAttributes } = await fixture.handle().describe();
    expect(searchAttributes).toMatchObject({
      BatonLock: [lock],
      BatonRegion: [east],
      BatonState: ['active'],
      BatonToken: [token],
    });
    await fixture.record('takeover');
  });

  it('asks every pod to stand, and takes the newest tenure', async () => {
    await given();
    const { pod: first, tenure } = await fixture.active();
    const second = await fixture.pod('e2');
    await fixture.until({ pods: [{ pod: first.pod }, { pod: second.pod, awaiting: true }] });
    const newer = fixture.truth.give(second);
    await fixture.until({ phase: 'active', tenure: { pod: second.pod, token: newer.token } });

    // What the first one still believes is older.
    first.tell({ ...tenure, token: tenure.token + 1 });
    await eventually(() => expect(first.callsOf('awaitTenure')).toHaveLength(3));
    await fixture.until({ phase: 'active', tenure: { token: newer.token } });
  });

  it('goes to standby when the lease is lost, and back when it is won again', async () => {
    await given();
    const { pod } = await fixture.active();
    fixture.truth.takeAway();
    const status = await fixture.until({ phase: 'standby', tenure: null });
    expect(status.why).toBe('standby: the lease is lost: etcd shows another holder');
    const again = fixture.truth.give(pod);
    await fixture.until({ phase: 'active', tenure: { token: again.token } });
    await fixture.record('lost-lease');
  });

  it("takes its pod's word that the tenure has ended", async () => {
    await given();
    const { pod, tenure } = await fixture.active();
    const end = (token: number) =>
      fixture.client.tenureEnded(fixture.lock, fixture.east, { pod: pod.pod, token, why: 'SIGTERM' });
    expect(await end(tenure.token - 1)).toEqual({ outcome: 'delivered' });
    await fixture.until({ phase: 'active', signals: { taken: 2 } });
    await end(tenure.token);
    await fixture.until({ phase: 'standby', why: `standby: ${pod.pod} ended its tenure: SIGTERM` });
  });

  it('says that a holder does not answer, and learns from another pod who holds the lock', async () => {
    await given();
    const { pod, tenure } = await fixture.active();
    await fixture.pod('e2');
    await fixture.kill(pod);
    const silent = await eventually(async () => {
      const status = await fixture.status();
      expect(status.silentBeats).toBeGreaterThan(0);
      return status;
    });
    expect(silent).toMatchObject({ phase: 'active', tenure: { token: tenure.token } });
    fixture.truth.takeAway();
    await fixture.until({ phase: 'standby', tenure: null });
  });

  it('treats a restarted pod as another one, and takes its tenure', async () => {
    await given();
    const { pod } = await fixture.active();
    await fixture.kill(pod);
    const restarted = await fixture.pod('e1');
    const { token } = fixture.truth.give(restarted);
    const status = await fixture.until({ phase: 'active', tenure: { token } });
    expect(status.tenure?.pod).toBe(restarted.pod);
  });

  it('terminated and started again, adopts the tenure that went on', async () => {
    const { client, lock, east } = await given();
    const { pod, tenure } = await fixture.active();
    const before = Math.max(...pod.callsOf<AwaitTenureInput>('awaitTenure').map(({ seq }) => seq));
    await fixture.handle().terminate('by an operator');
    const ready = { pod: pod.pod, queue: `baton/${east}/${pod.pod}` };
    expect(await client.podReady(lock, east, ready)).toMatchObject({ outcome: 'workflow-gone' });
    expect(await client.status(lock, east)).toBe('not-running');

    await client.start(lock, east);
    expect(await client.podReady(lock, east, ready)).toEqual({ outcome: 'delivered' });
    await fixture.until({ phase: 'active', tenure: { token: tenure.token } });
    // A pod refuses instructions with a lower number than it has seen.
    expect(pod.callsOf<AwaitTenureInput>('awaitTenure').at(-1)?.seq).toBeGreaterThan(before);
  });

  it('cancelled, tells its pods to stop standing, and ends', async () => {
    await given();
    const { pod } = await fixture.active();
    await fixture.handle().cancel();
    await expect(fixture.handle().result()).rejects.toThrow('Workflow execution cancelled');
    expect(pod.callsOf('standDown')).toHaveLength(1);
  });
});

describe('a planned switch', () => {
  it('honours its target, and leaves a receipt', async () => {
    await given();
    const { pod, tenure } = await fixture.active();
    await fixture.pod('n1', `north-${fixture.west}`);
    const target = await fixture.pod('w1', fixture.west);
    await fixture.ask('s1', fixture.west);
    const status = await fixture.until({
      phase: 'standby',
      lastSwitches: [{ switchId: 's1', result: 'done' }],
    });
    expect(status.lastSwitches[0]?.receipt).toMatchObject({
      id: 's1',
      from: { token: tenure.token },
      to: { region: fixture.west, pod: target.pod },
      drained: 3,
      gapMs: 21,
    });
    const [drain] = pod.callsOf<DrainAndHandOverInput>('drainAndHandOver');
    expect(drain).toMatchObject({ switchId: 's1', reason: 'maintenance', by: 'anna' });
    expect(drain?.targets).toEqual([{ region: fixture.west, pod: target.pod }]);
    await fixture.record('graceful-switch');
  });

  it('is refused with every check that failed, and drains nothing', async () => {
    await given({ minSwitchIntervalMs: 3_600_000 });
    const { pod, tenure } = await fixture.active();
    const cold = await fixture.pod('w1', fixture.west);
    const dead = await fixture.pod('w2', fixture.west);
    cold.probe = async () => ({ ready: false, why: 'the listener is not warm' });
    const { candidates } = fixture.truth;
    await fixture.kill(dead);
    Object.assign(fixture.truth, {
      candidates,
      paused: { who: 'berta', why: 'audit', when: '2026-01-01' },
      last: { ...(pod.handOver(drainOf(tenure)) as { receipt: object }).receipt, id: 'earlier' },
      holder: tenure,
    });
    await fixture.ask('s1', fixture.west);
    const status = await fixture.until({ phase: 'active', lastSwitches: [{ result: 'refused' }] });
    const why = status.lastSwitches[0]?.why ?? '';
    expect(why).toContain('is paused by berta since 2026-01-01: audit');
    expect(why).toMatch(/last change \d+ ms ago, less than minSwitchIntervalMs = 3600000/);
    expect(why).toContain(`${cold.pod}: not ready: the listener is not warm`);
    expect(why).toContain(`${dead.pod}: does not answer: not taken up in time`);
    expect(pod.callsOf('drainAndHandOver')).toEqual([]);
  });

  it('names what is there when there is no candidate, and is ignored where nothing is active', async () => {
    const { client, lock } = await given();
    await fixture.active();
    await fixture.ask('s1', 'mars');
    await fixture.until({
      lastSwitches: [{ result: 'refused', why: `no candidate in mars; there are some in: ${fixture.east}` }],
    });
    await client.start(lock, fixture.west);
    await fixture.pod('w1', fixture.west);
    await client.gracefulSwitch(lock, fixture.west, { switchId: 's2', reason: 'x', by: 'anna' });
    await eventually(async () =>
      expect(await fixture.status(fixture.west)).toMatchObject({
        phase: 'standby',
        lastSwitches: [
          { switchId: 's2', result: 'ignored', why: `${lock} is not active in ${fixture.west}` },
        ],
      }),
    );
  });

  it('whose drain runs out of time is asked again under the same id, with a higher number', async () => {
    await given();
    const { pod } = await fixture.active();
    await fixture.pod('w1', fixture.west);
    let thaw = (): void => undefined;
    let times = 0;
    pod.drainAndHandOver = async (input): Promise<HandOverOutcome> => {
      pod.calls.push({ method: 'drainAndHandOver', input });
      times += 1;
      if (times > 1) return pod.handOver(input);
      return new Promise((resolve) => {
        thaw = () => resolve({ outcome: 'refused', why: 'thawed' });
      });
    };
    await fixture.ask('s1', fixture.west);
    await fixture.until({ phase: 'draining' });
    await fixture.until({ phase: 'standby', lastSwitches: [{ switchId: 's1', result: 'done' }] }, 60_000);
    thaw();
    const [first, second, ...more] = pod.callsOf<DrainAndHandOverInput>('drainAndHandOver');
    expect([first?.switchId, second?.switchId, more]).toEqual(['s1', 's1', []]);
    expect(second?.seq).toBeGreaterThan(first?.seq ?? Infinity);
  });

  it('whose outcome stays unknown is aborted through another pod, and etcd tells what happened', async () => {
    await given();
    const { pod, tenure } = await fixture.active();
    const other = await fixture.pod('e2');
    await fixture.pod('w1', fixture.west);
    pod.drainAndHandOver = async () => {
      throw new UnknownOutcomeError('etcd did not answer');
    };
    await fixture.ask('s1', fixture.west);
    const status = await fixture.until(
      { phase: 'active', lastSwitches: [{ result: 'rolled-back' }] },
      60_000,
    );
    expect(status.tenure?.token).toBe(tenure.token);
    expect(fixture.truth.aborted).toEqual(['s1']);
    expect(other.callsOf('abortSwitch')).toHaveLength(1);
    // Drained, as far as anybody knows: it is told to consume again.
    await eventually(() => expect(pod.callsOf('startListener')).toHaveLength(2));
  });

  it('rolled back or refused by the holder leaves the region active', async () => {
    await given();
    const { pod } = await fixture.active();
    await fixture.pod('w1', fixture.west);
    pod.drainAndHandOver = async () => ({ outcome: 'resumed', why: 'the target was gone' });
    await fixture.ask('s1', fixture.west);
    await fixture.until({ phase: 'active', lastSwitches: [{ switchId: 's1', result: 'rolled-back' }] });
    pod.drainAndHandOver = async () => ({ outcome: 'refused', why: 'stale' });
    await fixture.ask('s2', fixture.west);
    const status = await fixture.until({ phase: 'active', lastSwitches: [{ result: 'refused' }, {}] });
    expect(status.lastSwitches[0]).toMatchObject({ switchId: 's2', why: 'the holder refused: stale' });
  });
});

describe('signals', () => {
  it('that are malformed are recorded and ignored, whatever is in them', async () => {
    await given();
    await fixture.active();
    const handle = fixture.handle();
    const junk = [
      null,
      7,
      'text',
      [],
      {},
      { pod: 5 },
      { pod: 'x'.repeat(3_000), queue: 'q' },
      { token: 'x', pod: 'p' },
    ];
    for (const name of ['gracefulSwitch', 'podReady', 'podStopping', 'tenureEnded', 'regionSettings'])
      for (const payload of junk) await handle.signal(name, payload);
    await handle.signal('gracefulSwitch');
    await handle.signal('unheardOf', {});
    await handle.signal('__temporal_unheardOf', {});
    for (const encoding of ['json/plain', 'binary/unknown'])
      await fixture.temporal.workflowService.signalWorkflowExecution({
        namespace: 'default',
        workflowExecution: { workflowId: handle.workflowId },
        signalName: 'podReady',
        input: {
          payloads: [{ metadata: { encoding: Buffer.from(encoding) }, data: Buffer.from('{broken') }],
        },
      });
    const huge = 'x'.repeat(300_000);
    await handle.signal('gracefulSwitch', {
      switchId: 'long',
      reason: huge,
      by: huge,
      surplus: huge,
      to: fixture.east,
    });
    // Of the junk one makes sense: a podStopping without a reason.
    const status = await fixture.until({
      phase: 'active',
      signals: { taken: 1 + 5 * junk.length + 1 + 2 + 1, malformed: 5 * junk.length - 1 + 1 + 2 },
    });
    expect(status.lastSwitches[0]).toMatchObject({ switchId: 'long', result: 'refused' });
    expect(status.lastSwitches[0]?.reason).toHaveLength(500);
    // And it still works.
    await fixture.until({ beat: { outcome: expect.stringContaining('extended') as string } });
  });

  it('are all counted, none lost and none twice, while it continues as new again and again', async () => {
    const { client, lock, east } = await given({ historyLimit: 200, beatMs: 1_000 });
    const { pod, tenure } = await fixture.active();
    const first = await fixture.handle().describe();
    const ids: string[] = [];
    let sent = 0;
    // A busy machine takes many signals in one task, and so needs more of them for as many runs.
    const enough = async (): Promise<boolean> =>
      sent >= 420 && (sent >= 6_000 || (await fixture.until({ phase: 'active' })).runs > 2);
    for (; !(await enough()); sent += 12) {
      const batch = Array.from({ length: 12 }, (_, index) => sent + index);
      await Promise.all(
        batch.map(async (n) => {
          if (n % 12 !== 0)
            return client.tenureEnded(lock, east, { pod: pod.pod, token: -n, why: `nr ${n}` });
          ids.push(`switch-${n}`);
          return fixture.ask(`switch-${n}`, east);
        }),
      );
    }
    const status = await fixture.until({ phase: 'active', signals: { taken: sent + 1, malformed: 0 } });
    expect(status.runs).toBeGreaterThan(2);
    expect(status.tenure?.token).toBe(tenure.token);
    expect(status.lastSwitches.map(({ switchId }) => switchId)).toEqual(ids.slice(-20).toReversed());
    // Still the same pod, still asked, with ever higher numbers.
    const numbers = pod.callsOf<AwaitTenureInput>('awaitTenure').map(({ seq }) => seq);
    expect(numbers).toEqual([...numbers].toSorted((a, b) => a - b));
    const newer = fixture.truth.give(pod);
    await fixture.until({ tenure: { token: newer.token } });
    await fixture.record('continue-as-new', { runId: first.runId });
    await fixture.record('continued');
  });
});

it('a pod that refuses to stand is asked ever more rarely', async () => {
  await given();
  await fixture.client.start(fixture.lock, fixture.east);
  const pod = await fixture.pod('e1');
  pod.end();
  pod.awaitTenure = async (input) => {
    pod.calls.push({ method: 'awaitTenure', input });
    throw new RefusedError('lock is not configured here');
  };
  await new Promise((resolve) => setTimeout(resolve, 5_000));
  expect(pod.callsOf('awaitTenure').length).toBeLessThanOrEqual(5);
});

const drainOf = (tenure: TenureInput['tenure']): DrainAndHandOverInput => ({
  lock: tenure.lock,
  seq: 0,
  tenure,
  switchId: 'earlier',
  targets: [{ region: 'west', pod: 'w' }],
  reason: 'earlier',
  by: 'anna',
});
