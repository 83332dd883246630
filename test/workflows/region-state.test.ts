import fc from 'fast-check';
import type {
  Approval,
  HookStage,
  HookTiming,
  RenewLeaseResult,
  SwitchAnswer,
} from '../../workflows/contract';
import type { Happening, RegionEffect } from '../../workflows/region-event';
import {
  initialState,
  isHandedOver,
  isUntouched,
  limits,
  mayContinueAsNew,
  type RegionState,
  type SwitchGates,
  type Transition,
} from '../../workflows/region-state';
import { resume, transition } from '../../workflows/region-transition';
import {
  addressOf,
  anyHappening,
  answersTo,
  at,
  endingOf,
  fitted,
  lock,
  receiptOf,
  region,
  signal,
  tenureOf,
  truthOf,
} from './region-events';

const start = (): RegionState => initialState(lock, region, 1_000);
const happenings = fc.array(anyHappening, { minLength: 20, maxLength: 150, size: 'max' });

/** Applies all, checks every single step, and returns the last state. */
function run(events: Happening[], check: (before: RegionState, after: Transition) => void): RegionState {
  let state = start();
  events.forEach((event, index) => {
    const next = transition(freeze(state), at(fitted(event, state, index), 1_000 + index));
    check(state, next);
    state = next.state;
  });
  return state;
}

/** Applies the events of a story, and returns every state and all effects. */
function tell(...events: Happening[]): { state: RegionState; effects: RegionEffect[]; why: string } {
  let state = start();
  const effects: RegionEffect[] = [];
  let why = '';
  events.forEach((event, index) => {
    const next = transition(state, at(event, 1_000 + index));
    ({ state, why } = next);
    effects.push(...next.effects);
  });
  return { state, effects, why };
}

const ready = (pod: string): Happening => ({
  type: 'pod-ready',
  ready: { pod, queue: `baton/${region}/${pod}` },
});
const won = (pod: string, token: number): Happening => ({
  type: 'tenure-reported',
  pod,
  seq: 1_001,
  result: { outcome: 'tenure', tenure: tenureOf(pod, token), receipt: null, attempts: [] },
});
const asked = (switchId: string, to: string | null = 'west'): Happening => ({
  type: 'switch-requested',
  request: { switchId, to, reason: 'maintenance', by: 'anna' },
});
const passed = (switchId: string, token = 7): Happening => ({
  type: 'preflight-done',
  switchId,
  token,
  failed: [],
  targets: [addressOf('w1')],
});
const notPassed = (switchId: string, failed: string[]): Happening => ({
  type: 'preflight-done',
  switchId,
  token: 7,
  failed,
  targets: [],
});
const noAnswer = (switchId: string): Happening => ({ type: 'hand-over-failed', switchId, why: 'no answer' });
/** The answer to a beat of token 7. */
const extended = (more: Partial<RenewLeaseResult & { outcome: 'extended' }>): Happening => ({
  type: 'renewed',
  token: 7,
  result: { outcome: 'extended', marginMs: 1, processed: 1, inFlight: 0, receipt: null, ...more },
});
const kinds = (effects: RegionEffect[]): string[] => effects.map(({ type }) => type);

const allowed: Partial<Record<RegionEffect['type'], RegionState['phase'][]>> = {
  renew: ['active'],
  preflight: ['active'],
  'drain-and-hand-over': ['draining'],
  // Beside the drain when an operator wants it, after it when it gave no answer.
  'abort-switch': ['draining', 'handing-over'],
  'await-successor': ['handing-over'],
};

describe('whatever happens in whatever order', () => {
  it('a region knows one tenure at most, and takes none with a token that it has seen', () => {
    fc.assert(
      fc.property(happenings, (events) => {
        run(events, (before, { state }) => {
          expect(state.topToken).toBeGreaterThanOrEqual(before.topToken);
          const { token = 0 } = state.tenure ?? {};
          expect(token).toBeLessThanOrEqual(state.topToken);
          const isNew = token !== 0 && token !== before.tenure?.token;
          expect(isNew && token <= before.topToken).toBe(false);
        });
      }),
    );
  });

  it('the phase, the tenure and the switch agree', () => {
    fc.assert(
      fc.property(happenings, (events) => {
        run(events, (_, { state: { phase, tenure, switch: underWay } }) => {
          const step = underWay?.step;
          const expected = {
            active: tenure !== null && (step === undefined || isUntouched(step)),
            standby: tenure === null && step === undefined,
            paused: tenure === null && step === undefined,
            draining: step === 'drain',
            'handing-over': step === 'abort' || step === 'settle' || (step && isHandedOver(step)),
          };
          expect({ phase, step, held: tenure !== null, agrees: expected[phase] }).toMatchObject({
            agrees: true,
          });
        });
      }),
    );
  });

  it('effects are called for only in the phases that allow them', () => {
    fc.assert(
      fc.property(happenings, (events) => {
        run(events, (_, { state, effects }) => {
          const wrong = effects.filter(({ type }) => allowed[type]?.includes(state.phase) === false);
          expect(wrong).toEqual([]);
        });
      }),
    );
  });

  it('instructions are numbered upwards', () => {
    fc.assert(
      fc.property(happenings, (events) => {
        run(events, (before, { state, effects }) => {
          const numbers = effects.flatMap((effect) => ('seq' in effect ? [effect.seq] : []));
          let last = before.seq;
          for (const seq of numbers) {
            expect(seq).toBeGreaterThan(last);
            last = seq;
          }
          expect(state.seq).toBeGreaterThanOrEqual(last);
        });
      }),
    );
  });

  it('the state stays small, is plain JSON, and the one before it is left alone', () => {
    fc.assert(
      fc.property(fc.array(anyHappening, { minLength: 200, maxLength: 400, size: 'max' }), (events) => {
        const state = run(events, (_, { state: next, why }) => {
          expect(next.pods.length).toBeLessThanOrEqual(limits.pods);
          expect(next.receipts.length).toBeLessThanOrEqual(limits.receipts);
          expect(next.attempts.length).toBeLessThanOrEqual(limits.attempts);
          expect(next.lastSwitches.length).toBeLessThanOrEqual(limits.lastSwitches);
          expect(why).not.toBe('');
          expect(why.length).toBeLessThanOrEqual(limits.text);
        });
        expect(JSON.parse(JSON.stringify(state))).toEqual(state);
      }),
      { numRuns: 20 },
    );
  });

  it('standby can be reached', () => {
    fc.assert(
      fc.property(happenings, (events) => {
        let state = run(events, () => undefined);
        for (let step = 0; step < 12; step++) {
          const ending = endingOf(state);
          if (ending) ({ state } = transition(state, at(ending, 9_000)));
        }
        expect(['standby', 'paused']).toContain(state.phase);
      }),
    );
  });
});

it('these sequences do reach every phase and every step of a switch', () => {
  const reached = new Set<string>();
  for (const events of fc.sample(happenings, { numRuns: 4_000, seed: 2 }))
    run(events, (_, { state }) => reached.add(`${state.phase} ${state.switch?.step ?? ''}`.trim()));
  expect([...reached].toSorted()).toEqual([
    'active',
    'active approval',
    'active before-release',
    'active preflight',
    'draining drain',
    'handing-over abort',
    'handing-over after-release',
    'handing-over after-takeover',
    'handing-over settle',
    'handing-over successor',
    'paused',
    'standby',
  ]);
});

describe('while only what was asked is answered', () => {
  it('no pod is asked twice at once, and of beats and switch questions one is open at most', () => {
    const turn = fc.record({ pick: fc.nat(), seed: fc.integer(), fresh: fc.boolean() });
    const plan = fc.array(turn, { minLength: 50, maxLength: 150, size: 'max' });
    fc.assert(
      fc.property(plan, (turns) => {
        let state = start();
        let open: RegionEffect[] = [];
        for (const { pick, seed, fresh } of turns) {
          const answered = fresh ? undefined : open[pick % Math.max(open.length, 1)];
          const source = answered ? answersTo(answered) : signal;
          const [happening] = fc.sample(source, { seed, numRuns: 1 });
          if (!happening) continue;
          open = open.filter((effect) => effect !== answered);
          const before = state;
          const next = transition(state, at(fitted(happening, state, pick), 1_000));
          state = next.state;
          open.push(...next.effects);
          const { awaiting } =
            before.pods.find(({ pod }) => 'pod' in happening && pod === happening.pod) ?? {};
          // The last question of a pod that was forgotten meanwhile, and has a newer one now or none.
          const stale = 'seq' in happening && happening.seq !== awaiting;
          expect(stale && kinds(next.effects).includes('stand')).toBe(false);
          for (const { pod } of state.pods) {
            const live = open.filter((effect) => isLiveQuestion(state, pod, effect));
            expect(live.length).toBeLessThanOrEqual(1);
          }
          expect(open.filter(({ type }) => type === 'renew').length).toBeLessThanOrEqual(1);
          expect(open.filter(isSwitchQuestion(state)).length).toBeLessThanOrEqual(1);
        }
      }),
    );
  });
});

describe('a planned switch', () => {
  const active = [ready('p1'), ready('p2'), won('p1', 7)];

  it('asks first, drains then, and is over with the successor', () => {
    const { state, effects } = tell(
      ...active,
      asked('s1'),
      passed('s1'),
      {
        type: 'hand-over-answered',
        switchId: 's1',
        outcome: { outcome: 'handed-over', receipt: receiptOf('s1', 7) },
      },
      { type: 'successor-seen', switchId: 's1', result: { holder: null, receipt: receiptOf('s1', 7) } },
    );
    expect(kinds(effects).slice(-3)).toEqual(['preflight', 'drain-and-hand-over', 'await-successor']);
    expect(state).toMatchObject({ phase: 'standby', tenure: null, switch: null });
    expect(state.lastSwitches[0]).toMatchObject({ switchId: 's1', result: 'done', receipt: { id: 's1' } });
  });

  it('is over when the lock is back before the successor had a message, and the next one may begin', () => {
    const handedOver: Happening = {
      type: 'hand-over-answered',
      switchId: 's1',
      outcome: { outcome: 'handed-over', receipt: receiptOf('s1', 7) },
    };
    const { state, effects } = tell(...active, asked('s1'), passed('s1'), handedOver, won('p1', 9));
    expect(state).toMatchObject({ phase: 'active', tenure: { token: 9 }, switch: null });
    expect(state.lastSwitches[0]).toMatchObject({ switchId: 's1', result: 'done', receipt: { id: 's1' } });
    expect(kinds(effects).filter((kind) => kind === 'start-listener')).toHaveLength(2);
    const next = tell(...active, asked('s1'), passed('s1'), handedOver, won('p1', 9), asked('s2'));
    expect(next.state.switch).toMatchObject({ request: { switchId: 's2' }, step: 'preflight' });
  });

  it('is refused with every failed check, and nothing was touched', () => {
    const failed = ['orders is paused by anna', 'no candidate in west'];
    const { state, effects } = tell(...active, asked('s1'), notPassed('s1', failed));
    expect(kinds(effects)).not.toContain('drain-and-hand-over');
    expect(state.phase).toBe('active');
    expect(state.lastSwitches[0]).toMatchObject({ result: 'refused', why: failed.join('; ') });
  });

  it.each([
    ['ignored', 'orders is not active in east', [ready('p1'), asked('s1')]],
    ['refused', 'orders is active in east already', [...active, asked('s1', 'east')]],
    ['refused', /switch s0 is under way/, [...active, asked('s0'), asked('s1')]],
  ])('is %s: %s', (result, why, story) => {
    const { state } = tell(...story);
    expect(state.lastSwitches[0]).toMatchObject({ switchId: 's1', result });
    expect(state.lastSwitches[0]?.why).toMatch(why);
  });

  it('asked for while a newer tenure begins here gives that one away', () => {
    const outdated = notPassed('s1', ['not the holder']);
    const story = [...active, asked('s1'), won('p1', 9), outdated];
    const { state, effects } = tell(...story);
    expect(state).toMatchObject({ phase: 'active', switch: { step: 'preflight', tenure: { token: 9 } } });
    expect(effects.at(-1)).toMatchObject({ type: 'preflight', tenure: { token: 9 } });
    const drains = tell(...story, passed('s1', 9));
    expect(drains.effects.at(-1)).toMatchObject({ type: 'drain-and-hand-over', tenure: { token: 9 } });
  });

  it('asked for again under the same id is one switch', () => {
    const { state, effects } = tell(...active, asked('s1'), asked('s1'));
    expect(kinds(effects).filter((kind) => kind === 'preflight')).toHaveLength(1);
    expect(state.lastSwitches).toEqual([]);
  });

  it('aborted by an operator ends at once in the preflight, and with the drain later', () => {
    const abort: Happening = { type: 'abort-requested', switchId: 's1', reason: 'wrong day', by: 'ben' };
    const early = tell(...active, asked('s1'), abort);
    expect(early.state).toMatchObject({
      phase: 'active',
      switch: null,
      lastSwitches: [{ result: 'rolled-back' }],
    });
    expect(kinds(early.effects)).not.toContain('abort-switch');

    const failed: Happening = { type: 'abort-failed', switchId: 's1', why: 'etcd is away' };
    const due: Happening = { type: 'abort-due', switchId: 's1' };
    const draining = [...active, asked('s1'), passed('s1'), abort, failed, due];
    const late = tell(...draining, { type: 'switch-aborted', switchId: 's1' });
    expect(late.state).toMatchObject({ phase: 'draining', switch: { step: 'drain' } });
    expect(kinds(late.effects).filter((kind) => kind === 'abort-switch')).toHaveLength(2);
    const resumed: Happening = {
      type: 'hand-over-answered',
      switchId: 's1',
      outcome: { outcome: 'resumed', why: 'aborted' },
    };
    expect(tell(...draining, resumed).state).toMatchObject({
      phase: 'active',
      lastSwitches: [{ result: 'rolled-back', why: expect.stringContaining('aborted by ben (wrong day)') }],
    });
    // With an abort on its way, a drain without an answer is not asked again: etcd tells what came first.
    expect(tell(...draining, noAnswer('s1')).state).toMatchObject({ switch: { step: 'abort' } });
    const unknown = tell(...active, { ...abort, switchId: 's9' });
    expect(unknown.state.why).not.toContain('s9');
  });

  it('leaves a cordoned region, again and again until somebody can take over', () => {
    const cordoned = { who: 'ben', why: 'maintenance', when: '2026-01-01T00:00:00.000Z' };
    const beat = (mark?: typeof cordoned): Happening => extended({ cordoned: mark ?? null });
    const { state, effects } = tell(...active, { type: 'beat-due' }, beat(cordoned));
    expect(kinds(effects).at(-1)).toBe('preflight');
    const id = state.switch?.request.switchId ?? '';
    const story = [...active, { type: 'beat-due' } as const, beat(cordoned), notPassed(id, ['nobody'])];
    const soon = tell(...story, { type: 'beat-due' }, beat(cordoned));
    expect(soon.state).toMatchObject({ phase: 'active', switch: null });
    const later = transition(soon.state, at(beat(cordoned), 1_000 + limits.cordonRetryMs + 100));
    expect(later.state.switch?.request).toMatchObject({ to: null, by: 'ben' });
    expect(later.state.switch?.request.switchId).not.toBe(id);
    expect(tell(...story, beat()).state.cordoned).toBeNull();
  });

  describe('that others have a word in', () => {
    const hook = (name: string, stage: HookStage, onFailure: HookTiming['onFailure'] = 'stop') => ({
      name,
      at: stage,
      timeoutMs: 1_000,
      onFailure,
    });
    const guarded = (gates: SwitchGates): Happening => ({
      type: 'preflight-done',
      switchId: 's1',
      token: 7,
      failed: [],
      targets: [addressOf('w1')],
      gates,
    });
    const said = (from: string, stage: HookStage, verdict: SwitchAnswer['verdict'] = 'ok'): Happening => ({
      type: 'hook-answered',
      switchId: 's1',
      answer: { stage, from, verdict, at: '2026-01-01T00:00:00.000Z', why: 'as it is' },
    });
    const answered = (verdict: Approval['verdict'], switchId = 's1'): Happening => ({
      type: 'approval-answered',
      approval: { switchId, verdict, reason: 'it is time', by: 'ben' },
    });
    const handedOver: Happening = {
      type: 'hand-over-answered',
      switchId: 's1',
      outcome: { outcome: 'handed-over', receipt: receiptOf('s1', 7) },
    };
    const seen: Happening = {
      type: 'successor-seen',
      switchId: 's1',
      result: { holder: null, receipt: receiptOf('s1', 7) },
    };

    it('waits for an approval, then checks everything again before it drains', () => {
      const gates = { approvalWithinMs: 60_000 };
      const waits = tell(...active, asked('s1'), guarded(gates));
      expect(waits.state).toMatchObject({
        phase: 'active',
        switch: { step: 'approval', approvalUntil: 61_004 },
      });
      expect(waits.effects.at(-1)).toEqual({ type: 'approval-timer', switchId: 's1', until: 61_004 });
      const other = transition(waits.state, at(answered('approve', 's9'), 2_000));
      expect(other.state.switch?.step).toBe('approval');
      const approved = [...active, asked('s1'), guarded(gates), answered('approve')];
      const again = tell(...approved);
      expect(again.effects.at(-1)?.type).toBe('preflight');
      const { effects } = tell(...approved, guarded(gates));
      expect(effects.at(-1)).toMatchObject({
        type: 'drain-and-hand-over',
        answers: [{ stage: 'approval', from: 'ben', verdict: 'ok', why: 'it is time' }],
      });
      expect(kinds(effects).filter((kind) => kind === 'approval-timer')).toHaveLength(1);
    });

    it('waits on for the approval when a newer tenure begins here meanwhile', () => {
      const gates = { approvalWithinMs: 60_000 };
      const { state, effects } = tell(
        ...active,
        asked('s1'),
        guarded(gates),
        won('p1', 9),
        answered('approve'),
      );
      expect(state.switch).toMatchObject({ step: 'preflight', tenure: { token: 9 } });
      expect(effects.at(-1)).toMatchObject({ type: 'preflight', tenure: { token: 9 } });
      expect(kinds(effects).filter((kind) => kind === 'approval-timer')).toHaveLength(1);
    });

    it.each([
      ['vetoed by ben: it is time', answered('veto')],
      ['nobody else has approved of it in time', { type: 'approval-due', switchId: 's1' } as const],
    ])('ends untouched: %s', (why, end) => {
      const { state, effects } = tell(...active, asked('s1'), guarded({ approvalWithinMs: 60_000 }), end);
      expect(state).toMatchObject({
        phase: 'active',
        switch: null,
        lastSwitches: [{ result: 'refused', why }],
      });
      expect(kinds(effects)).not.toContain('drain-and-hand-over');
    });

    it('goes on waiting in a run that continues this one', () => {
      const { state } = tell(...active, asked('s1'), guarded({ approvalWithinMs: 60_000 }));
      expect(mayContinueAsNew(state)).toBe(true);
      expect(resume(state, 0).effects).toContainEqual({
        type: 'approval-timer',
        switchId: 's1',
        until: 61_004,
      });
    });

    it('is not asked for again in a run that stands in for a lost one: it may have been given', () => {
      const { state } = tell(...active, asked('s1'), guarded({ approvalWithinMs: 60_000 }));
      const next = resume(state, 0, true);
      expect(kinds(next.effects)).toEqual(['stand', 'stand', 'inspect']);
      expect(next.state.switch).toMatchObject({ request: { switchId: 's1' }, step: 'settle' });
    });

    it('drains when every hook has answered, and stops when one vetoes', () => {
      const hooks = [hook('a', 'before-release'), hook('b', 'before-release')];
      const story = [...active, asked('s1'), guarded({ hooks })];
      expect(kinds(tell(...story).effects).slice(-2)).toEqual(['hook', 'hook']);
      const one = tell(...story, said('a', 'before-release'), said('a', 'before-release', 'vetoed'));
      expect(one.state.switch?.step).toBe('before-release');
      const both = tell(...story, said('a', 'before-release'), said('b', 'before-release'));
      expect(both.effects.at(-1)).toMatchObject({
        type: 'drain-and-hand-over',
        answers: [{ from: 'a' }, { from: 'b' }],
      });
      const vetoed = tell(...story, said('a', 'before-release', 'vetoed'), said('b', 'before-release'));
      expect(vetoed.state).toMatchObject({
        phase: 'active',
        lastSwitches: [{ result: 'refused', why: 'stopped before the release: hook a vetoed: as it is' }],
      });
    });

    it.each([
      ['stop', null],
      ['go-on', 'drain'],
    ] as const)('a hook that fails: %s', (onFailure, step) => {
      const hooks = [hook('a', 'before-release', onFailure)];
      const { state } = tell(
        ...active,
        asked('s1'),
        guarded({ hooks }),
        said('a', 'before-release', 'failed'),
      );
      expect(state.switch?.step ?? null).toBe(step);
    });

    it('tells the hooks after the release and after the takeover, whatever they answer', () => {
      const hooks = [hook('a', 'after-release'), hook('b', 'after-takeover')];
      const story = [...active, asked('s1'), guarded({ hooks }), handedOver];
      expect(tell(...story).effects.at(-1)).toMatchObject({
        type: 'hook',
        question: { hook: 'a', receipt: { id: 's1' } },
      });
      const released = [...story, said('a', 'after-release', 'vetoed')];
      expect(tell(...released).effects.at(-1)?.type).toBe('await-successor');
      const taken = tell(...released, seen);
      expect(taken.effects.at(-1)).toMatchObject({ type: 'hook', question: { hook: 'b' } });
      const { state } = tell(...released, seen, said('b', 'after-takeover', 'failed'));
      expect(state.lastSwitches[0]).toMatchObject({
        result: 'done',
        receipt: {
          answers: [
            { from: 'a', verdict: 'vetoed' },
            { from: 'b', verdict: 'failed' },
          ],
        },
      });
    });

    it('is undone by an abort as long as only others were asked', () => {
      const abort: Happening = { type: 'abort-requested', switchId: 's1', reason: 'wrong day', by: 'ann' };
      for (const gates of [{ approvalWithinMs: 60_000 }, { hooks: [hook('a', 'before-release')] }]) {
        const { state, effects } = tell(...active, asked('s1'), guarded(gates), abort);
        expect(state).toMatchObject({ phase: 'active', lastSwitches: [{ result: 'rolled-back' }] });
        expect(kinds(effects)).not.toContain('abort-switch');
        const late = transition(state, at(said('a', 'before-release'), 5_000));
        expect(late.state.switch).toBeNull();
      }
    });
  });

  it('goes back to the preferred region that its holder names, no sooner again than after a while', () => {
    const beat = (to?: string): Happening =>
      extended(to === undefined ? {} : { failback: { to, why: `${to} is preferred` } });
    const due: Happening = { type: 'beat-due' };
    expect(kinds(tell(...active, due, beat()).effects).at(-1)).toBe('renew');
    const { state, effects } = tell(...active, due, beat('west'));
    expect(kinds(effects).at(-1)).toBe('preflight');
    expect(state.switch?.request).toMatchObject({
      to: 'west',
      by: 'baton',
      reason: 'failback: west is preferred',
    });
    const id = state.switch?.request.switchId ?? '';
    const soon = tell(...active, due, beat('west'), notPassed(id, ['nobody']), due, beat('west'));
    expect(soon.state).toMatchObject({
      phase: 'active',
      switch: null,
      lastSwitches: [{ result: 'refused' }],
    });
    const later = transition(soon.state, at(beat('west'), 1_000 + limits.failbackRetryMs + 100));
    expect(later.state.switch?.request.to).toBe('west');
    expect(later.state.switch?.request.switchId).not.toBe(id);
    // A switch that somebody asked for goes first.
    expect(tell(...active, due, asked('s1'), beat('west')).state.switch?.request.switchId).toBe('s1');
  });

  it('whose drain gives no answer is asked again under the same id, then aborted, then etcd tells', () => {
    const again: Happening = { type: 'step-due', switchId: 's1' };
    const story = [
      ...active,
      asked('s1'),
      passed('s1'),
      noAnswer('s1'),
      again,
      noAnswer('s1'),
      again,
      noAnswer('s1'),
    ];
    const { state, effects } = tell(...story);
    const drains = effects.filter((effect) => effect.type === 'drain-and-hand-over');
    expect(drains.map(({ request }) => request.switchId)).toEqual(['s1', 's1', 's1']);
    expect(effects.at(-1)).toMatchObject({ type: 'abort-switch', switchId: 's1' });
    // The holder, which does not answer, is asked last.
    expect(effects.at(-1)).toMatchObject({ via: [{ pod: 'p2' }, { pod: 'w1' }, { pod: 'p1' }] });
    expect(state.phase).toBe('handing-over');

    const aborted: Happening = { type: 'switch-aborted', switchId: 's1' };
    const shown = (truth: ReturnType<typeof truthOf>): Happening => ({
      type: 'inspected',
      switchId: 's1',
      token: 7,
      truth,
    });
    const kept = tell(...story, aborted, shown(truthOf(tenureOf('p1', 7))));
    expect(kept.state).toMatchObject({ phase: 'active', lastSwitches: [{ result: 'rolled-back' }] });
    expect(kinds(kept.effects).at(-1)).toBe('start-listener');

    const gone = tell(...story, aborted, shown(truthOf(tenureOf('w1', 8, 'west'), receiptOf('s1', 7))));
    expect(gone.state).toMatchObject({ phase: 'handing-over', tenure: null, switch: { step: 'successor' } });

    const lost = tell(...story, aborted, shown(truthOf(null)));
    expect(lost.state).toMatchObject({
      phase: 'standby',
      tenure: null,
      lastSwitches: [{ result: 'failed' }],
    });
  });
});

it('a refusal to a repeated drain says nothing about the first one, so etcd is asked', () => {
  const refused: Happening = {
    type: 'hand-over-answered',
    switchId: 's1',
    outcome: { outcome: 'refused', why: 'not the holder' },
  };
  const story = [ready('p1'), won('p1', 7), asked('s1'), passed('s1')];
  expect(tell(...story, refused).state).toMatchObject({
    phase: 'active',
    lastSwitches: [{ result: 'refused' }],
  });
  const again = tell(...story, noAnswer('s1'), { type: 'step-due', switchId: 's1' }, refused);
  expect(again.state).toMatchObject({ phase: 'handing-over', switch: { step: 'abort' } });
});

describe('a holder that does not answer', () => {
  const silent: Happening = { type: 'beat-silent', token: 7, why: 'no answer' };

  it('keeps its tenure until etcd shows another holder', () => {
    const story = [ready('p1'), ready('p2'), won('p1', 7), silent];
    const { state, effects } = tell(...story);
    expect(state).toMatchObject({ phase: 'active', tenure: { token: 7 }, silentBeats: 1 });
    expect(effects.at(-1)).toMatchObject({ type: 'inspect', via: [{ pod: 'p2' }] });

    const shown = (token: number): Happening => ({
      type: 'inspected',
      switchId: null,
      token,
      truth: truthOf(tenureOf('w1', 9, 'west')),
    });
    expect(tell(...story, shown(6)).state).toMatchObject({ phase: 'active', tenure: { token: 7 } });
    expect(tell(...story, shown(7)).state).toMatchObject({ phase: 'standby', tenure: null });
  });

  it('is forgotten as a pod after three unanswered questions, not as a holder', () => {
    // Numbers 1,001 to 1,005: asked to stand, listener started, asked to stand three times more.
    const failed = (seq: number): Happening => ({
      type: 'await-failed',
      pod: 'p1',
      seq,
      no: 'silent',
      why: 'no answer',
    });
    const { state } = tell(ready('p1'), won('p1', 7), failed(1_003), failed(1_004), failed(1_005));
    expect(state.pods).toEqual([]);
    expect(state.tenure?.token).toBe(7);
  });
});

it('keeps the newest receipts, attempts, switches and pods, up to their limits', () => {
  const attempt = {
    at: '2026-01-01T00:00:00.000Z',
    pod: 'p1',
    outcome: 'lost' as const,
    why: 'x'.repeat(9_000),
  };
  const story = Array.from({ length: 60 }, (_, n): Happening[] => [
    ready(`p${n}`),
    {
      type: 'tenure-reported',
      pod: 'p0',
      seq: 0,
      result: {
        outcome: 'tenure',
        tenure: tenureOf('p0', n),
        receipt: receiptOf(`r${n}`, n),
        attempts: [attempt],
      },
    },
    asked(`s${n}`, region),
  ]);
  const { state } = tell(...story.flat());
  expect(state.receipts.map(({ id }) => id)).toEqual(Array.from({ length: 20 }, (_, n) => `r${59 - n}`));
  expect(state.lastSwitches.map(({ switchId }) => switchId)).toEqual(
    Array.from({ length: 20 }, (_, n) => `s${59 - n}`),
  );
  expect(state.attempts).toHaveLength(20);
  expect(state.pods).toHaveLength(50);
  expect(JSON.stringify(state).length).toBeLessThan(60_000);
});

it('a continued run asks every pod again and keeps counting', () => {
  const { state } = tell(ready('p1'), ready('p2'), won('p2', 7));
  const next = resume(JSON.parse(JSON.stringify(state)) as RegionState, 0);
  expect(kinds(next.effects)).toEqual(['stand', 'stand']);
  expect(next.effects).toMatchObject([
    { afterToken: 7, seq: state.seq + 1 },
    { afterToken: 7, seq: state.seq + 2 },
  ]);
  expect(next.state.runs).toBe(2);
});

it('a run that begins again asks with numbers above those of the lost one', () => {
  const { state } = tell(ready('p1'), won('p1', 7));
  const later = state.seq + 1_000;
  expect(resume(state, later, true).effects).toMatchObject([{ type: 'stand', seq: later + 1 }]);
});

function isLiveQuestion({ pods }: RegionState, pod: string, effect: RegionEffect): boolean {
  const awaiting = pods.find((record) => record.pod === pod)?.awaiting;
  if (effect.type === 'stand') return effect.pod.pod === pod && effect.seq === awaiting;
  return effect.type === 'later' && effect.event.type === 'stand-due' && effect.event.seq === awaiting;
}

const isSwitchQuestion =
  ({ switch: underWay }: RegionState) =>
  (effect: RegionEffect): boolean => {
    const id = underWay?.request.switchId;
    if (id === undefined) return false;
    if (effect.type === 'drain-and-hand-over') return effect.request.switchId === id;
    if (effect.type === 'later') return effect.event.type === 'step-due' && effect.event.switchId === id;
    return 'switchId' in effect && effect.switchId === id;
  };

function freeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    for (const part of Object.values(value)) freeze(part);
  }
  return value;
}
