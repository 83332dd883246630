import { setTimeout as sleep } from 'node:timers/promises';
import type { DrillReport, GroupInput, GroupReport } from '../../workflows/operations-contract';
import { eventually } from '../support/eventually';
import { uniqueName } from '../support/servers';
import type { FakeOperator } from './fake-operator';
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
  const drill = async (returnAfterMs: number, objectiveMs: number | null = null): Promise<DrillReport> => {
    const id = uniqueName('drill');
    const { lock, west } = fixture;
    const { operations } = fixture.client;
    const order = { lock, to: west, reason: 'quarterly', by: 'anna' };
    await operations.startDrill(id, { ...order, returnAfterMs, objectiveMs });
    return until(() => operations.drillResult(id));
  };

  beforeEach(() => void operator.regions.set(fixture.lock, fixture.east));

  it('goes there and back, and compares the gaps with the objective', async () => {
    expect(await drill(1_000, 50)).toMatchObject({
      outcome: 'passed',
      from: fixture.east,
      why: 'the longest gap was 12 ms',
      there: { outcome: 'done' },
      back: { outcome: 'done', to: fixture.east },
    });
    expect(operator.switches.map(({ to, reason }) => [to, reason])).toEqual([
      [fixture.west, 'drill: quarterly'],
      [fixture.east, 'end of the drill: quarterly'],
    ]);
    operator.gapMs = 70;
    expect(await drill(0, 50)).toMatchObject({
      outcome: 'failed',
      why: 'the longest gap was 70 ms, above the objective of 50 ms',
    });
  });

  it('that cannot begin changes nothing; one that is overtaken by a real failover leaves it alone', async () => {
    operator.refusals.set(fixture.lock, 'refused: paused');
    expect(await drill(0)).toMatchObject({
      outcome: 'failed',
      why: 'nothing was changed: refused: paused',
      back: null,
    });
    operator.refusals.clear();
    operator.before = () => void setTimeout(() => operator.regions.set(fixture.lock, 'elsewhere'), 200);
    expect(await drill(1_000)).toMatchObject({
      outcome: 'ended',
      why: 'elsewhere is active meanwhile: left as it is',
    });
    expect(operator.switches).toHaveLength(1);
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
  const end = (): Promise<GroupReport> => until(() => fixture.client.operations.groupResult(id));
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
});

describe('a scheduled switch', () => {
  it('runs once at its time, and what became of it can be seen; cancelled it is gone', async () => {
    const { operations } = fixture.client;
    const { lock, west } = fixture;
    const order = { lock, to: west, reason: 'maintenance window', by: 'anna' };
    operator.refusals.set(lock, 'refused: no candidate in the west');
    const once = await operations.schedule(order, { at: new Date(Date.now() + 3_000) });
    const daily = await operations.schedule(order, { cron: '0 22 * * *', timeZone: 'Europe/Berlin' });
    const find = async (id: string) => (await operations.scheduled()).find((each) => each.id === id);
    await eventually(async () =>
      expect(await find(daily)).toMatchObject({ ...order, when: '0 22 * * * (Europe/Berlin)', last: null }),
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
