import type { LockSettings } from './config';

/** ms. For the hand-over after the drain. */
export const handOverGraceMs = 10_000;
/** ms. For ending listeners, leases and connections after that. */
const endGraceMs = 10_000;

/** ms. What the end of a pod may take: the longest drain, the hand-over, and ending all that it runs. */
export const stopLimitMs = ({ locks }: { locks: readonly Pick<LockSettings, 'drainLimitMs'>[] }): number =>
  Math.max(...locks.map(({ drainLimitMs }) => drainLimitMs)) + handOverGraceMs + endGraceMs;
