import fc from 'fast-check';
import { limits, type RegionState, type Transition } from '../../workflows/region-state';
import { initialState } from '../../workflows/region-state';
import { resume, transition } from '../../workflows/region-transition';
import { detailsOf, statusOf } from '../../workflows/region-view';
import { anyHappening, fitted, lock, region } from '../workflows/region-events';
import type { RegionEvent } from '../../workflows/region-event';
import { fuzzRuns } from './fuzz-runs';
import { hostileJson, mutationOf } from './hostile-values';

/** Right, changed in up to three places, or anything at all. */
const event = anyHappening.chain((happening) =>
  fc.oneof(
    { weight: 3, arbitrary: fc.constant<unknown>(happening) },
    { weight: 3, arbitrary: mutationOf(happening) },
    { weight: 1, arbitrary: hostileJson.map((value) => ({ ...happening, at: value })) },
    { weight: 1, arbitrary: hostileJson },
  ),
);

function follow(state: RegionState, given: unknown, turn: number): Transition {
  const isObject = typeof given === 'object' && given !== null;
  const fits = isObject && 'type' in given ? fitted(given as RegionEvent, state, turn) : given;
  const withTime = isObject ? { at: 1_000 + turn, ...(fits as object) } : fits;
  return transition(state, withTime as RegionEvent);
}

const whole = (value: unknown): boolean => Number.isSafeInteger(value);

function check(before: RegionState, { state, why }: Transition): void {
  expect(typeof why).toBe('string');
  expect(whole(state.seq) && state.seq >= before.seq).toBe(true);
  expect(whole(state.topToken) && state.topToken >= before.topToken).toBe(true);
  expect(state.tenure === null || whole(state.tenure.token)).toBe(true);
  expect(state.tenure?.token ?? 0).toBeLessThanOrEqual(state.topToken);
  expect(state.pods.length).toBeLessThanOrEqual(limits.pods);
  expect(state.receipts.length).toBeLessThanOrEqual(limits.receipts);
  expect(state.attempts.length).toBeLessThanOrEqual(limits.attempts);
  expect(state.lastSwitches.length).toBeLessThanOrEqual(limits.lastSwitches);
  expect(state.phase === 'active').toBe(
    state.tenure !== null && !['draining', 'handing-over'].includes(state.phase),
  );
  const { silentBeats, beatFrom } = state;
  expect([silentBeats, beatFrom].every(Number.isFinite)).toBe(true);
  statusOf(state);
  detailsOf(state);
}

it('whatever happens, also what cannot be understood: no error, and the state holds together', () => {
  fc.assert(
    fc.property(fc.array(event, { maxLength: 20 }), (events) => {
      let state = initialState(lock, region, 1_000);
      events.forEach((each, turn) => {
        const next = follow(state, each, turn);
        check(state, next);
        // As continue-as-new hands it on.
        ({ state } = next);
        expect(JSON.parse(JSON.stringify(state))).toMatchObject({ lock, region });
      });
      for (const again of [false, true]) check(state, resume(state, 2_000, again));
    }),
    fuzzRuns(300),
  );
});
