import type { Candidate, LockTruth, Marked, Tenure } from '../../workflows/contract';
import type { LockSettings } from '../config/config';
import type { HolderKey, LockView } from './lock-store';

/** A view without what only etcd's transactions need, with what the configuration says of the regions. */
export const lockTruth = (
  lock: string,
  view: LockView,
  { order, never }: Pick<LockSettings['preference'], 'order' | 'never'>,
): LockTruth => ({
  holder: view.holder && tenureOf(lock, view.holder),
  candidates: view.candidates.map(plainCandidate),
  paused: view.paused && plainMark(view.paused),
  flapping: view.flap.tripped && plainMark(view.flap.tripped),
  cordons: view.cordons.map((cordon) => ({ region: cordon.region, ...plainMark(cordon) })),
  blocked: view.blocked?.why ?? null,
  successor: view.successor?.region ?? null,
  last: view.last?.receipt ?? null,
  preference: { order, never },
});

export const tenureOf = (lock: string, { region, pod, leaseId, token, since }: HolderKey): Tenure => ({
  lock,
  region,
  pod,
  leaseId,
  token,
  since,
});

export const plainMark = ({ who, why, when }: Marked): Marked => ({ who, why, when });

const plainCandidate = ({ region, pod, state, standing, since, version }: Candidate): Candidate => ({
  region,
  pod,
  state,
  standing,
  since,
  version,
});
