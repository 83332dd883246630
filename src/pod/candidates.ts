import type { CandidateKey, LockView } from './lock-store';

/** Could take the lock: ready, standing, and not in a cordoned region. */
export const isAble = ({ cordons }: LockView, { region, state, standing }: CandidateKey): boolean =>
  state === 'ready' && standing && cordons.every((cordon) => cordon.region !== region);

/** Who would take the lock over if this pod were gone. */
export const standbysOf = (view: LockView, pod: string): CandidateKey[] =>
  view.candidates.filter((each) => each.pod !== pod && isAble(view, each));
