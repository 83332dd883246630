import { setTimeout as sleep } from 'node:timers/promises';
import type { Receipt } from '../../workflows/contract';
import type {
  CrashDrillReport,
  DrillInput,
  DrillReport,
  GroupInput,
  GroupReport,
  PlannedDrillReport,
} from '../../workflows/operations-contract';
import { UnsettledError } from '../../src/client/errors';
import { eventually } from '../support/eventually';
import { uniqueName } from '../support/servers';
import type { FakeOperator } from './fake-operator';
import type { FakePod } from './fake-pod';
import { RegionFixture } from './region-fixture';

jest.setTimeout(120_000);

let fixture: RegionFixture;
let operator: FakeOperator;
beforeEach(async () => {
  fixture = await RegionFixture.create();
  // Any pod of the target's region does the work; the lock itself is not needed.
  await fixture.client.start(fixture.lock, fixture.west);
  await fixture.pod('w1', fixture.west);
  ({ operator } = fixture);
});
afterEach(() => fixture.close());

const until = <T>(ask: () => Promise<T | null>): Promise<T> =>
  eventually(async () => {
    const found = await ask();
    if (found === null) throw new Error('it goes on');
    return found;
  }, 60_000);

describe('a drill', () => {
  const run = async <K extends DrillReport['kind']>(
    kind: K,
    input: DrillInput,
    region: string,
  ): Promise<DrillReport & { kind: K }> => {
    const id = uniqueName('drill');
    const { operations } = fixture.client;
    await operations.startDrill(id, input, region);
    const report = await until(() => operations.drillResult(id));
    expect(report.kind).toBe(kind);
    await fixture.record(`drill-${kind}-${report.outcome}`, { id });
    return report as DrillReport & { kind: K };
  };

  describe('there and back', () => {
    const drill = (
      returnAfterMs: number,
      objectiveMs: number | null = null,
      region = fixture.east,
    ): Promise<PlannedDrillReport> => {
      const { lock, west: to } = fixture;
      const order = { lock, to, reason: 'quarterly', by: 'anna' };
      return run('planned', { kind: 'planned', ...order, returnAfterMs, objectiveMs }, region);
    };

    beforeEach(async () => {
      operator.regions.set(fixture.lock, fixture.east);
      // It runs at home.
      await fixture.client.start(fixture.lock, fixture.east);
      await fixture.pod('e1', fixture.east);
    });

    it('compares the gaps with the objective', async () => {
      expect(await drill(1_000, 50)).toMatchObject({
        outcome: 'passed',
        from: fixture.east,
        why: 'the longest gap was 12 ms, within the objective of 50 ms',
        there: { outcome: 'done' },
        back: { outcome: 'done', to: fixture.east },
      });
      expect(operator.switches.map(({ to, reason }) => [to, reason])).toEqual([
        [fixture.west, 'drill: quarterly'],
        [fixture.east, 'end of the drill: quarterly'],
      ]);
      operator.gapMs = 70;
      // Begun elsewhere, as by a schedule, it goes home first.
      expect(await drill(0, 50, fixture.west)).toMatchObject({
        outcome: 'failed',
        why: 'the longest gap was 70 ms, above the objective of 50 ms',
      });
    });

    it('that cannot begin changes nothing; a real failover ends it at once, and is left alone', async () => {
      operator.refusals.set(fixture.lock, 'refused: paused');
      expect(await drill(0)).toMatchObject({
        outcome: 'failed',
        why: 'nothing was changed: refused: paused',
        back: null,
      });
      operator.refusals.clear();
      operator.before = () => void setTimeout(() => operator.regions.set(fixture.lock, 'elsewhere'), 200);
      expect(await drill(3_600_000)).toMatchObject({
        outcome: 'ended',
        why: 'elsewhere is active meanwhile: left as it is',
      });
      expect(operator.switches).toHaveLength(1);
    });

    it('whose way back is overtaken by a failover ends, too', async () => {
      const report = drill(500);
      operator.before = ({ to }) => {
        if (to !== fixture.east) return;
        operator.refusals.set(fixture.lock, 'rolled-back: the holder died');
        operator.regions.set(fixture.lock, 'elsewhere');
      };
      expect(await report).toMatchObject({
        outcome: 'ended',
        why: 'elsewhere is active meanwhile: left as it is',
        back: { outcome: 'not-done' },
      });
    });
  });

  describe('that kills', () => {
    let victim: FakePod;
    let token: number;
    const drill = (objectiveMs: number | null = null): Promise<CrashDrillReport> => {
      const { lock } = fixture;
      const input = { lock, reason: 'quarterly', by: 'anna', objectiveMs };
      // Begun with the victim, it goes to where others stand.
      return run('crash', { kind: 'crash', ...input }, fixture.east);
    };

    beforeEach(async () => {
      const { pod, tenure } = await fixture.active();
      victim = pod;
      ({ token } = tenure);
      const { region } = tenure;
      operator.target = {
        holder: { region, pod: victim.pod, token },
        standbys: [{ region: fixture.west, pod: 'w1' }],
      };
    });

    const recovered = (ms: number, more: Partial<Receipt> = {}): Receipt => {
      const at = new Date(Date.now() + ms).toISOString();
      return {
        id: 'r',
        lock: fixture.lock,
        cause: 'takeover',
        why: 'the lease ran out',
        by: 'w1',
        from: { region: fixture.east, pod: victim.pod, token },
        to: { region: fixture.west, pod: 'w1', token: token + 1 },
        at,
        drained: null,
        requeued: null,
        lastFinishedAt: null,
        firstStartedAt: at,
        gapMs: null,
        ...more,
      };
    };

    it('measures from the kill to the first message, or to the takeover of an empty queue', async () => {
      operator.recovery = recovered(60_000);
      const report = await drill(600_000);
      expect(report).toMatchObject({
        outcome: 'passed',
        holder: { pod: victim.pod, token },
        measuredTo: 'first message',
        receipt: { id: 'r' },
      });
      const { recoveryMs, killedAt } = report;
      expect(recoveryMs).toBe(Date.parse(operator.recovery.at) - Date.parse(killedAt ?? ''));
      expect(victim.callsOf('crash')).toEqual([
        { lock: fixture.lock, token, reason: 'quarterly', by: 'anna', drillId: expect.any(String) },
      ]);
      operator.recovery = recovered(60_000, { firstStartedAt: null });
      expect(await drill(1)).toMatchObject({
        outcome: 'failed',
        why: expect.stringMatching(
          /no message has come yet, \d+ ms after the kill, above the objective of 1 ms$/,
        ),
        measuredTo: 'takeover',
      });
      operator.recovery = null;
      expect(await drill()).toMatchObject({
        outcome: 'failed',
        why: `${victim.pod} was told to kill itself, and nobody has taken over`,
      });
    });

    it('kills nobody where the pod refuses, does not take it up, or does not hold the lock any more', async () => {
      const spared = { receipt: null, killedAt: null, recoveryMs: null };
      victim.crashed = { outcome: 'refused', why: 'not allowed here' };
      expect(await drill()).toMatchObject({
        outcome: 'failed',
        why: `nothing was killed: ${victim.pod} refused: not allowed here`,
        ...spared,
      });
      victim.crashed = { outcome: 'not-holder', why: 'w1 holds the lock' };
      expect(await drill()).toMatchObject({
        outcome: 'ended',
        why: 'nothing was killed: w1 holds the lock',
        ...spared,
      });
      operator.target.holder!.pod = 'nobody-polls-here';
      expect(await drill()).toMatchObject({
        outcome: 'failed',
        why: 'nothing was killed: nobody-polls-here: not taken up in time',
        ...spared,
      });
      operator.target = { ...operator.target, standbys: [] };
      expect(await drill()).toMatchObject({
        outcome: 'failed',
        why: 'nothing was killed: no other candidate is ready and stands',
        ...spared,
      });
    });

    it('leaves another change alone that came first', async () => {
      operator.recovery = recovered(0, { cause: 'switch', by: 'ben' });
      expect(await drill()).toMatchObject({
        outcome: 'ended',
        why: 'another change came first: switch by ben',
      });
    });
  });
});

describe('a group', () => {
  const locks = ['a', 'b', 'c'];
  let id: string;

  const start = (order: GroupInput['order'] = 'in-order'): Promise<void> => {
    id = uniqueName('group');
    for (const lock of locks) operator.regions.set(lock, fixture.east);
    const input = { locks, to: fixture.west, reason: 'move', by: 'anna', order };
    return fixture.client.operations.startGroup(id, input);
  };
  const end = async (): Promise<GroupReport> => {
    const report = await until(() => fixture.client.operations.groupResult(id));
    await fixture.record(`group-${report.outcome}`, { id });
    return report;
  };
  const control = (kind: 'pause' | 'resume' | 'abort'): Promise<void> =>
    fixture.client.operations.controlGroup(id, { kind, reason: 'a look', by: 'ben' });

  it.each(['in-order', 'at-once'] as const)('moves %s, after all preflights', async (order) => {
    await start(order);
    expect(await end()).toMatchObject({
      outcome: 'done',
      switches: locks.map((lock) => ({ lock })),
      back: [],
    });
    expect(operator.switches.map(({ lock }) => lock).toSorted()).toEqual(locks);
    expect([...new Set(operator.regions.values())]).toEqual([fixture.west]);
  });

  it('of which one fails its preflight is not touched', async () => {
    operator.obstacles.set('b', 'candidate (none)');
    await start();
    expect(await end()).toMatchObject({
      outcome: 'refused',
      why: 'nothing was touched: b: candidate (none)',
      switches: [],
    });
    expect(operator.switches).toEqual([]);
  });

  it('of which one cannot be switched goes back, the last one first', async () => {
    operator.refusals.set('c', 'rolled-back: no answer');
    await start();
    expect(await end()).toMatchObject({
      outcome: 'rolled-back',
      why: 'c was not switched (rolled-back: no answer)',
      back: [
        { lock: 'b', to: fixture.east },
        { lock: 'a', to: fixture.east },
      ],
    });
    expect(locks.map((lock) => operator.regions.get(lock))).toEqual(Array(3).fill(fixture.east));
  });

  it('is paused between two locks, resumed, and aborted', async () => {
    let release = (): void => undefined;
    operator.before = ({ lock }) =>
      lock === 'a' ? new Promise((resolve) => (release = resolve)) : undefined;
    await start();
    const status = () => fixture.client.operations.groupStatus(id);
    await eventually(async () => expect(await status()).toMatchObject({ phase: 'switching' }));
    await control('pause');
    await eventually(async () => {
      release();
      expect(await status()).toMatchObject({
        phase: 'paused',
        why: 'pause by ben: a look',
        moved: ['a'],
        left: ['b', 'c'],
      });
    });
    await sleep(300);
    expect(operator.switches.map(({ lock }) => lock)).toEqual(['a']);
    operator.before = () => undefined;
    await control('abort');
    expect(await end()).toMatchObject({
      outcome: 'rolled-back',
      why: 'abort by ben: a look',
      back: [{ lock: 'a' }],
    });
    expect(operator.regions.get('a')).toBe(fixture.east);
  });

  it('that somebody terminates is not waited for', async () => {
    operator.before = () => sleep(5_000);
    await start();
    await fixture.temporal.workflow.getHandle(id).terminate('by hand');
    await expect(fixture.client.operations.groupResult(id)).rejects.toThrow(
      new UnsettledError(`${id} was terminated in Temporal: baton history shows how far it came`, id),
    );
  });
});

describe('a scheduled switch', () => {
  it('runs once at its time, and what became of it can be seen; cancelled it is gone', async () => {
    const { operations } = fixture.client;
    const { lock, west } = fixture;
    const order = { lock, to: west, reason: 'maintenance window', by: 'anna' };
    operator.refusals.set(lock, 'refused: no candidate in the west');
    const once = await operations.schedule({ kind: 'switch', order }, { at: new Date(Date.now() + 3_000) });
    const daily = await operations.schedule(
      { kind: 'switch', order },
      { cron: '0 22 * * *', timeZone: 'Europe/Berlin' },
    );
    const find = async (id: string) => (await operations.scheduled()).find((each) => each.id === id);
    await eventually(async () =>
      expect(await find(daily)).toMatchObject({
        kind: 'switch',
        ...order,
        when: '0 22 * * * (Europe/Berlin)',
        last: null,
      }),
    );
    await eventually(
      async () =>
        expect(await find(once)).toMatchObject({
          next: null,
          last: { outcome: 'not-done', why: 'refused: no candidate in the west' },
        }),
      60_000,
    );
    expect(await operations.cancelSchedule(daily)).toBe(true);
    expect(await operations.cancelSchedule(daily)).toBe(false);
    expect(await operations.cancelSchedule(once)).toBe(true);
    await eventually(async () => expect(await find(daily)).toBeUndefined());
  });
});
