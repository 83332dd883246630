import type { CandidateKey, LockView } from './lock-store';

/** Who would take the lock over if this pod were gone: ready, standing, and not in a cordoned region. */
export function standbysOf({ candidates, cordons }: LockView, pod: string): CandidateKey[] {
  const cordoned = new Set(cordons.map(({ region }) => region));
  return candidates.filter(
    (each) => each.pod !== pod && each.state === 'ready' && each.standing && !cordoned.has(each.region),
  );
}
