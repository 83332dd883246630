import {
  allHandlersFinished,
  CancellationScope,
  condition,
  continueAsNew,
  isCancellation,
  log,
  proxySinks,
  setCurrentDetails,
  setHandler,
  upsertSearchAttributes,
  uuid4,
  workflowInfo,
} from '@temporalio/workflow';
import {
  gracefulSwitchSignal,
  podReadySignal,
  podStoppingSignal,
  type RegionInput,
  regionSettingsSignal,
  statusQuery,
  tenureEndedSignal,
  type TraceSinks,
} from './contract';
import { carryOut, sound } from './region-effects';
import type { Happening } from './region-event';
import { initialState, mayContinueAsNew, type Transition } from './region-state';
import { endedSwitch, switchTrace } from './switch-trace';
import { resume, transition } from './region-transition';
import { handleUpdates } from './region-updates';
import { detailsOf, statusOf } from './region-view';
import { searchAttributesOf } from './search-attributes';
import {
  readGracefulSwitch,
  readPodReady,
  readPodStopping,
  readRegionSettings,
  readTenureEnded,
} from './signal-payload';
import { checkedRegionInput, readSettings } from './workflow-input';

const { tracing } = proxySinks<TraceSinks>();

/**
 * One lock in one region, for ever. Takes one event after the other from the inbox, lets the state machine
 * decide, and carries out what it decided; the answers come back through the same inbox. Everything it knows
 * is in `state`, so that continuing as new loses nothing.
 */
export async function regionWorkflow(given: RegionInput): Promise<void> {
  let input = checkedRegionInput(given);
  const { lock, region } = input;
  const startedAt = workflowInfo().runStartTime.getTime();
  const { attempt, lastFailure } = workflowInfo();
  const again = attempt > 1;
  // What was still to be looked at when a lost run began has been looked at.
  const former = again && input.state ? { ...input.state, inbox: [] } : input.state;
  let state = former ?? initialState(lock, region, startedAt);
  let shown = '';
  /** The run is about to end: nobody may wait in it any more. */
  let closing = false;

  const push = (happening: Happening): void => {
    state.inbox.push({ ...happening, at: Date.now() });
  };
  // Synchronous, and nothing but a push: a handler that waits would be lost when the run is continued.
  setHandler(gracefulSwitchSignal, (payload: unknown) => push(readGracefulSwitch(payload, uuid4())));
  setHandler(podReadySignal, (payload: unknown) => push(readPodReady(payload)));
  setHandler(podStoppingSignal, (payload: unknown) => push(readPodStopping(payload)));
  setHandler(tenureEndedSignal, (payload: unknown) => push(readTenureEnded(payload)));
  setHandler(regionSettingsSignal, (payload: unknown) => push(readRegionSettings(payload, readSettings)));
  setHandler(statusQuery, () => statusOf(state));
  handleUpdates({ input: () => input, state: () => state, push, closing: () => closing });

  const follow = (next: Transition): Promise<void>[] => {
    const ended = endedSwitch(state, next.state, Date.now());
    if (ended) tracing.switchEnded(ended);
    state = next.state;
    const context = { lock, region, phase: state.phase, token: state.tenure?.token, pod: state.tenure?.pod };
    if (next.decisive) log.info(next.why, context);
    else log.debug(next.why, context);
    return next.effects.map(async (effect) => {
      const beat = state.beat?.outcome ?? 'none yet';
      const answer = await carryOut(effect, input, beat, switchTrace(effect, state));
      const happening = answer && sound(effect, answer);
      if (happening) push(happening);
    });
  };
  const takeOne = (): void => {
    const event = state.inbox.shift();
    if (event?.type === 'configured') {
      const { searchAttributes } = input.settings;
      input = { ...input, settings: { ...event.change.settings, searchAttributes } };
    }
    // Not awaited: each answer is an event of its own.
    if (event) void follow(transition(state, event));
  };
  const show = (): void => {
    setCurrentDetails(detailsOf(state));
    const { key, pairs } = searchAttributesOf(state);
    if (input.settings.searchAttributes && key !== shown) upsertSearchAttributes(pairs);
    shown = key;
  };
  const untilBeatMs = (): number | null =>
    state.phase === 'active' && state.tenure !== null && state.beating === null
      ? Math.max(state.beatFrom + input.settings.beatMs - Date.now(), 0)
      : null;
  const nextEvent = async (): Promise<void> => {
    const waitMs = untilBeatMs();
    const woken = (): boolean => state.inbox.length > 0;
    if (waitMs === null) return condition(woken);
    const summary = `beat after ${state.beat?.outcome ?? 'the start of the tenure'}`.slice(0, 200);
    if (waitMs === 0 || !(await condition(woken, waitMs, { summary }))) push({ type: 'beat-due' });
  };
  const isLong = (): boolean =>
    workflowInfo().historyLength > input.settings.historyLimit || workflowInfo().continueAsNewSuggested;

  if (again)
    log.warn('begins again: the run before could not go on', { lock, region, why: lastFailure?.message });
  if (former) void follow(resume(state, startedAt, again));
  try {
    for (;;) {
      while (state.inbox.length > 0) takeOne();
      show();
      if (isLong() && mayContinueAsNew(state)) {
        closing = true;
        await condition(allHandlersFinished);
        // No await from here: a signal taken in after the state is read would be lost.
        return await continueAsNew<typeof regionWorkflow>({ ...input, state });
      }
      await nextEvent();
    }
  } catch (error) {
    if (!isCancellation(error)) throw error;
    await CancellationScope.nonCancellable(async () => {
      await Promise.all(follow(transition(state, { type: 'cancelled', at: Date.now() })));
    });
    throw error;
  }
}
