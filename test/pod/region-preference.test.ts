import fc from 'fast-check';
import type { Receipt } from '../../workflows/contract';
import type { CandidateKey, LockView } from '../../src/pod/lock-store';
import { byPreference, regionsBefore, whereToGoBack } from '../../src/pod/region-preference';

const now = Date.parse('2026-01-03T12:00:00.000Z');
const secondsAgo = (seconds: number): string => new Date(now - seconds * 1_000).toISOString();

const candidate = (pod: string, more: Partial<CandidateKey> = {}): CandidateKey => ({
  region: pod.replace(/\d+$/, ''),
  pod,
  state: 'ready',
  standing: true,
  since: secondsAgo(100),
  version: '1',
  leaseId: pod,
  modRevision: 1,
  ...more,
});
const mark = { who: 'ben', why: 'works', when: secondsAgo(1), modRevision: 1 };

/** A free lock that `last` held until now. */
const free = (last: string | null, candidates: CandidateKey[], more: Partial<LockView> = {}): LockView => ({
  revision: 1,
  raftTerm: 1,
  holder: null,
  last:
    (last && {
      receipt: {
        to: { region: last.replace(/\d+$/, ''), pod: last, token: 1 },
        from: null,
        at: secondsAgo(50),
      } as Receipt,
      modRevision: 1,
    }) ||
    null,
  candidates,
  successor: null,
  blocked: null,
  paused: null,
  flap: { tripped: null, acked: null },
  cordons: [],
  ...more,
});

describe('who comes before a region when the lock is free', () => {
  const all = [candidate('east2'), candidate('west1'), candidate('north1'), candidate('south1')];
  const order = ['west', 'north'];
  test.each<[string, LockView, string, string[], string[]]>([
    ['without any preference, the region that it was in', free('east1', all), 'west', [], ['east']],
    ['nobody comes before that one', free('east1', all), 'east', order, []],
    ['then the order', free('east1', all), 'north', order, ['east', 'west']],
    ['then all others, alike', free('east1', all), 'south', order, ['east', 'west', 'north']],
    ['the order alone when nobody has held it', free(null, all), 'south', order, ['west', 'north']],
    ['nobody when nobody has held it and there is no order', free(null, all), 'south', [], []],
    [
      'not the pod that has just lost it',
      free('east1', [candidate('east1'), candidate('west1')]),
      'west',
      [],
      [],
    ],
    [
      'not regions without a pod that could',
      free('east1', [
        candidate('east2', { standing: false }),
        candidate('west1', { state: 'warming' }),
        candidate('north1'),
      ]),
      'south',
      order,
      ['north'],
    ],
    [
      'not cordoned regions',
      free('east1', all, { cordons: [{ ...mark, region: 'east' }] }),
      'north',
      order,
      ['west'],
    ],
    [
      'nobody when the region was named',
      free('east1', all, { successor: { region: 'south', switchId: 's', modRevision: 1 } }),
      'south',
      order,
      [],
    ],
  ])('%s', (_, view, region, preferred, expected) => {
    expect(regionsBefore(view, region, { order: preferred })).toEqual(expected);
  });

  test('after a release, the region that it was released from', () => {
    const view = free('east1', all);
    const { to } = view.last?.receipt ?? {};
    const released = { ...view, last: { receipt: { to: null, from: to } as Receipt, modRevision: 1 } };
    expect(regionsBefore(released, 'west', { order })).toEqual(['east']);
  });

  test('whoever stands, some region need not wait, and nobody waits for itself', () => {
    const region = fc.constantFrom('east', 'west', 'north', 'south');
    const standing = fc.array(region, { minLength: 1, maxLength: 8 });
    const before = fc.option(region.map((name) => `${name}0`));
    fc.assert(
      fc.property(standing, fc.uniqueArray(region), before, (regions, preferred, last) => {
        const view = free(
          last,
          regions.map((name, index) => candidate(`${name}${index + 1}`)),
        );
        const waits = regions.map((name) => regionsBefore(view, name, { order: preferred }));
        expect(waits.some((each) => each.length === 0)).toBe(true);
        waits.forEach((each, index) => expect(each).not.toContain(regions[index]));
      }),
    );
  });
});

test('a hand-over goes to the own region, then by the order, then to the one ready for longest', () => {
  const candidates = [
    candidate('south1', { since: secondsAgo(900) }),
    candidate('north1', { since: secondsAgo(10) }),
    candidate('west1', { since: secondsAgo(10) }),
    candidate('west2', { since: secondsAgo(20) }),
    candidate('east2', { since: secondsAgo(1) }),
  ];
  const pods = byPreference(candidates, 'east', { order: ['west', 'north'] }).map(({ pod }) => pod);
  expect(pods).toEqual(['east2', 'west2', 'west1', 'north1', 'south1']);
});

describe('failback', () => {
  const failback = { windows: [], timeZone: 'UTC', healthyForMs: 60_000 };
  const rules = (more: object = {}, minSwitchIntervalMs = 0) => ({
    preference: { order: ['east', 'west', 'north'], never: [], failback: { ...failback, ...more } },
    minSwitchIntervalMs,
  });
  const held = (candidates: CandidateKey[], more: Partial<LockView> = {}): LockView =>
    free('north1', [candidate('north1'), ...candidates], more);
  const where = (view: LockView, settings: Parameters<typeof whereToGoBack>[2] = rules(), from = 'north') =>
    whereToGoBack(view, from, settings, now)?.to ?? null;

  test('goes to the most preferred region that is healthy, and says since when', () => {
    const both = held([candidate('west1'), candidate('east1')]);
    expect(whereToGoBack(both, 'north', rules(), now)).toEqual({
      to: 'east',
      why: 'east is preferred to north and has been healthy for 100.0 s',
    });
    expect(where(held([candidate('west1'), candidate('east1', { since: secondsAgo(59) })]))).toBe('west');
    expect(where(both, rules(), 'south')).toBe('east');
  });

  test('never to a region that is not preferred to the present one', () => {
    const all = held([candidate('east1'), candidate('west1'), candidate('south1')]);
    expect(where(all, rules(), 'east')).toBeNull();
    expect(where(held([candidate('south1')]))).toBeNull();
  });

  test.each<[string, LockView, ReturnType<typeof rules>]>([
    ['not ready for long enough', held([candidate('east1', { since: secondsAgo(59) })]), rules()],
    ['not ready', held([candidate('east1', { state: 'unhealthy' })]), rules()],
    ['not standing', held([candidate('east1', { standing: false })]), rules()],
    ['ready since an unknown time', held([candidate('east1', { since: 'unreadable' })]), rules()],
    ['cordoned', held([candidate('east1')], { cordons: [{ ...mark, region: 'east' }] }), rules()],
    ['paused', held([candidate('east1')], { paused: mark }), rules()],
    [
      'automatic changes are stopped',
      held([candidate('east1')], { flap: { tripped: mark, acked: null } }),
      rules(),
    ],
    ['the last change is too recent', held([candidate('east1')]), rules({}, 51_000)],
    [
      'outside of its windows',
      held([candidate('east1')]),
      rules({ windows: [{ days: [], from: '13:00', to: '14:00' }] }),
    ],
  ])('not while: %s', (_, view, settings) => {
    expect(where(view, settings)).toBeNull();
  });

  test('within its window, and after the interval between switches', () => {
    const noon = { windows: [{ days: ['sat'], from: '11:00', to: '13:00' }] };
    expect(where(held([candidate('east1')]), rules(noon, 50_000))).toBe('east');
  });

  test('only where it is configured', () => {
    const preference = { order: ['east'], never: [], failback: null };
    expect(where(held([candidate('east1')]), { preference, minSwitchIntervalMs: 0 })).toBeNull();
  });
});
