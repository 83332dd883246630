import type { Failback } from '../../workflows/contract';
import { age } from '../../workflows/decision-text';
import { placeIn } from '../../workflows/preflight';
import type { LockSettings, PreferenceSettings } from '../config/config';
import { isAble, standbysOf } from './candidates';
import { isOpen } from './failback-window';
import type { CandidateKey, LockView } from './lock-store';

/** What a free lock's candidates leave to each region that comes before theirs. */
export const headStartMs = 300;

type Order = Pick<PreferenceSettings, 'order'>;

/** Smaller comes first: the region that the lock is in or was in, then the configured order, then all others alike. */
const rankOf = (region: string, home: string | null, order: readonly string[]): number =>
  region === home ? -1 : placeIn(order, region);

/**
 * The regions that come before this one, best first, and have a pod that could take the free lock. None when this region
 * was named as the successor. The pod that held the lock last does not count: its key may outlive it in an older view.
 */
export function regionsBefore(view: LockView, region: string, { order }: Order): string[] {
  const { last, successor } = view;
  if (successor?.region === region) return [];
  const former = last?.receipt.to ?? last?.receipt.from ?? null;
  const rank = (of: string): number => rankOf(of, former?.region ?? null, order);
  const others = standbysOf(view, former?.pod ?? '');
  return [...new Set(others.map((each) => each.region))]
    .filter((each) => rank(each) < rank(region))
    .toSorted((a, b) => rank(a) - rank(b));
}

/** Those that a holder in `region` would rather hand over to come first; among equals the one ready for longest. */
export function byPreference<T extends { region: string; since: string }>(
  candidates: readonly T[],
  region: string,
  { order }: Order,
): T[] {
  return candidates.toSorted(
    (a, b) =>
      rankOf(a.region, region, order) - rankOf(b.region, region, order) || a.since.localeCompare(b.since),
  );
}

/**
 * The most preferred region before the holder's own that the lock may go back to now, or `null`. Not while the lock is
 * paused or its automatic changes are stopped, and not before a planned switch would be allowed. `now` in ms since 1970.
 */
export function whereToGoBack(
  view: LockView,
  region: string,
  { preference: { order, failback }, minSwitchIntervalMs }: FailbackRules,
  now: number,
): Failback | null {
  const { paused, flap, last, candidates } = view;
  if (!failback || paused || flap.tripped) return null;
  if (last && now - Date.parse(last.receipt.at) < minSwitchIntervalMs) return null;
  if (!isOpen(failback, now)) return null;
  const isHealthy = (each: CandidateKey): boolean =>
    isAble(view, each) && now - Date.parse(each.since) >= failback.healthyForMs;
  for (const to of order.slice(0, placeIn(order, region))) {
    const healthy = candidates.find((each) => each.region === to && isHealthy(each));
    if (!healthy) continue;
    const why = `${to} is preferred to ${region} and has been healthy for ${age(healthy.since, now)}`;
    return { to, why };
  }
  return null;
}

type FailbackRules = Pick<LockSettings, 'preference' | 'minSwitchIntervalMs'>;
