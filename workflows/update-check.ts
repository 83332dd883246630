import type { Approval, SwitchOutcome } from './contract';
import type { RegionEvent, SwitchRequest } from './region-event';
import { isHandedOver, type RegionState } from './region-state';

/** What an update's validator looks at, before anything enters history: `null` lets it in. */
export type Verdict = string | null;

/** What became of a switch that has ended, as far as it is remembered. */
export const outcomeOf = (state: RegionState, switchId: string): SwitchOutcome | undefined =>
  state.lastSwitches.find((outcome) => outcome.switchId === switchId);

/** Why a switch cannot work, by what is known without asking anybody. One that is known by its id is let in. */
export function whyNotSwitch(state: RegionState, { switchId, to }: SwitchRequest): Verdict {
  const { lock, region, tenure, switch: underWay, lockPaused } = state;
  if (outcomeOf(state, switchId) || idOfPresent(state) === switchId) return null;
  const waiting = waitingRequest(state);
  if (underWay) return `switch ${underWay.request.switchId} is under way: ${underWay.why}`;
  if (waiting)
    return waiting.switchId === switchId ? null : `switch ${waiting.switchId} has just been asked for`;
  if (!tenure) return `${lock} is not active in ${region} (${state.why})`;
  if (to === region) return `${lock} is active in ${region} already`;
  if (lockPaused) return `${lock} is paused`;
  return null;
}

/** Why a switch cannot be undone. One that has ended is let in: its outcome is the answer. */
export function whyNotAbort(state: RegionState, switchId: string): Verdict {
  if (outcomeOf(state, switchId)) return null;
  const { switch: underWay, lock, region } = state;
  if (underWay?.request.switchId !== switchId)
    return waitingRequest(state)?.switchId === switchId
      ? null
      : `switch ${switchId} is not known to the workflow of ${lock} in ${region}`;
  if (isHandedOver(underWay.step))
    return `switch ${switchId} cannot be undone any more: ${underWay.why}; ask for a switch back instead`;
  return null;
}

/** Why an answer is not wanted, or not from this one. */
export function whyNotApprove(state: RegionState, { switchId, verdict, by }: Approval): Verdict {
  const { switch: underWay, lock, region } = state;
  if (underWay?.request.switchId !== switchId)
    return `switch ${switchId} is not under way by the word of the workflow of ${lock} in ${region}`;
  const { step, request, why } = underWay;
  if (step !== 'approval') return `switch ${switchId} does not wait for an approval: ${why}`;
  if (verdict === 'approve' && by === request.by)
    return `switch ${switchId} was asked for by ${by}: it must be approved by somebody else`;
  return null;
}

const idOfPresent = ({ switch: underWay }: RegionState): string | undefined => underWay?.request.switchId;

/** Asked for, and not yet looked at. */
function waitingRequest({ inbox }: RegionState): SwitchRequest | undefined {
  const asks = (event: RegionEvent): event is RegionEvent & { type: 'switch-requested' } =>
    event.type === 'switch-requested';
  return inbox.find(asks)?.request;
}
