import { ApplicationFailure, condition, isCancellation, setHandler } from '@temporalio/workflow';
import {
  abortSwitchUpdate,
  approveUpdate,
  askAgain,
  forceUpdate,
  markKinds,
  markUpdate,
  type PodActivities,
  preflightUpdate,
  type RegionInput,
  type SwitchOutcome,
  switchToUpdate,
} from './contract';
import { preflightReport } from './find-targets';
import { RegionDraft } from './region-draft';
import type { Happening } from './region-event';
import type { RegionState } from './region-state';
import { callPod, firstAnswer } from './pod-calls';
import { runningOutcome } from './region-view';
import { outcomeOf, whyNotAbort, whyNotApprove, whyNotSwitch } from './update-check';
import {
  readAbortSwitch,
  readApprove,
  readForce,
  readMark,
  readPreflight,
  readSwitchTo,
  turnDown,
} from './update-payload';

interface Region {
  input: () => RegionInput;
  state: () => RegionState;
  push: (happening: Happening) => void;
  /** The run is about to end: nobody may wait in it any more. */
  closing: () => boolean;
}

/**
 * The region's updates. A validator turns down what cannot work, before it enters history; a handler pushes into the
 * inbox like a signal's, and waits for the outcome or for the run's end. Payloads are read twice, as a validator cannot
 * hand anything on: workflow time stands still in between.
 */
export function handleUpdates({ input, state, push, closing }: Region): void {
  const waitsForApproval = (switchId: string): boolean => {
    const { switch: underWay } = state();
    return underWay?.request.switchId === switchId && underWay.step === 'approval';
  };
  const conclusion = async (switchId: string, enough = (): boolean => false): Promise<SwitchOutcome> => {
    await condition(() => outcomeOf(state(), switchId) !== undefined || enough() || closing());
    const outcome = outcomeOf(state(), switchId) ?? (enough() ? runningOutcome(state()) : null);
    if (outcome) return outcome;
    const message = `the run ends: ask again for switch ${switchId}`;
    throw ApplicationFailure.create({ type: askAgain, message, nonRetryable: true });
  };

  setHandler(
    switchToUpdate,
    (payload: unknown) => {
      const happening = readSwitchTo(payload);
      const { switchId } = happening.request;
      // Asked for before: its outcome is the answer, whenever it comes.
      if (state().switch?.request.switchId !== switchId && !outcomeOf(state(), switchId)) push(happening);
      // An approval may take hours: the state waits for it, and nobody else has to.
      return conclusion(switchId, () => waitsForApproval(switchId));
    },
    {
      validator(payload: unknown) {
        const why = whyNotSwitch(state(), readSwitchTo(payload).request);
        if (why !== null) throw turnDown(why);
      },
    },
  );
  setHandler(
    abortSwitchUpdate,
    (payload: unknown) => {
      const happening = readAbortSwitch(payload);
      push(happening);
      return conclusion(happening.switchId);
    },
    {
      validator(payload: unknown) {
        const why = whyNotAbort(state(), readAbortSwitch(payload).switchId);
        if (why !== null) throw turnDown(why);
      },
    },
  );
  setHandler(
    approveUpdate,
    async (payload: unknown) => {
      const approval = readApprove(payload);
      const { switchId } = approval;
      push({ type: 'approval-answered', approval });
      await condition(() => !waitsForApproval(switchId) || closing());
      return { why: outcomeOf(state(), switchId)?.why ?? state().switch?.why ?? state().why };
    },
    {
      validator(payload: unknown) {
        const why = whyNotApprove(state(), readApprove(payload));
        if (why !== null) throw turnDown(why);
      },
    },
  );
  /** Through the first pod that answers; what it did is then an event like any other. */
  const throughPod = async <T>(summary: string, ask: (pod: PodActivities) => Promise<T>): Promise<T> => {
    const via = new RegionDraft(state()).via({ holderLast: true });
    try {
      return await firstAnswer(via, (pod) => ask(callPod(pod, summary.slice(0, 200))));
    } catch (error) {
      if (isCancellation(error)) throw error;
      throw turnDown(`nobody could be asked: ${(error as Error).message}`);
    }
  };
  const { lock } = input();
  setHandler(
    forceUpdate,
    async (payload: unknown) => {
      const force = readForce(payload);
      const { by, to, token } = force;
      const outcome = await throughPod(`${by} forces ${lock} from token ${token} to ${to}`, (pod) =>
        pod.force({ lock, force }),
      );
      push({ type: 'forced', force, outcome });
      return outcome;
    },
    { validator: (payload: unknown) => void readForce(payload) },
  );
  for (const kind of markKinds)
    setHandler(
      markUpdate(kind),
      async (payload: unknown) => {
        const mark = readMark(kind, payload);
        const result = await throughPod(`${kind} by ${mark.by}: ${mark.reason}`, (pod) =>
          pod.mark({ lock, mark }),
        );
        push({ type: 'marked', mark, result });
        return result;
      },
      { validator: (payload: unknown) => void readMark(kind, payload) },
    );
  setHandler(
    preflightUpdate,
    async (payload: unknown) => {
      const { to } = readPreflight(payload);
      const { tenure, switch: underWay } = state();
      const via = new RegionDraft(state()).via({ holderLast: false });
      try {
        return await preflightReport({ to, tenure, via, underWay: underWay?.why ?? null }, input());
      } catch (error) {
        if (isCancellation(error)) throw error;
        throw turnDown(`nobody could be asked: ${(error as Error).message}`);
      }
    },
    { validator: (payload: unknown) => void readPreflight(payload) },
  );
}
