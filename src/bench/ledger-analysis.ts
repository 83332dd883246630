/**
 * Judges a ledger. Nothing here believes a contender's own word on whether it was active: only the handlers' lines
 * count, and the broker's confirmations of what was published.
 */
import type { BenchEntry } from './ledger';

/** What one fault or switch did, seen from the messages. */
export interface Handover {
  /** The process that worked last before, and the first one to work after it. */
  from: string;
  to: string;
  /** Last END of the old one before the new one's first START, to that START. */
  gapMs: number;
  /** Messages that the old contender started after the new one's first START. */
  stale: number;
  firstStartNs: bigint;
}

/**
 * The change away from `from`, the process that worked on the last message before the fault, which came at
 * `faultNs`. `entries` may be in any order and hold at least the old one's last before the fault.
 *
 * @returns null while nobody else has begun since.
 */
export function findHandover(entries: BenchEntry[], from: string, faultNs: bigint): Handover | null {
  const old = entries.filter(({ process }) => process === from);
  const others = entries.filter(({ process, startNs }) => process !== from && startNs > faultNs);
  const first = others.reduce<BenchEntry | null>(
    (least, entry) => (least === null || entry.startNs < least.startNs ? entry : least),
    null,
  );
  if (first === null) return null;
  const before = old.filter(({ startNs }) => startNs < first.startNs);
  const lastEnd = before.reduce((latest, { endNs }) => (endNs > latest ? endNs : latest), 0n);
  // In another process of the same contender the old one may also go on: a spare of a frozen pod.
  const contender = old[0]?.contender;
  const stale = entries.filter(
    (entry) =>
      entry.startNs > first.startNs &&
      (entry.process === from || (entry.contender === contender && first.contender !== contender)),
  );
  return {
    from,
    to: first.process,
    gapMs: before.length === 0 ? Number.NaN : Number(first.startNs - lastEnd) / 1e6,
    stale: stale.length,
    firstStartNs: first.startNs,
  };
}

export interface Integrity {
  /** Published, and finished by nobody. */
  lost: number[];
  /** Finished more often than once: one entry for each time too many. */
  duplicates: number[];
  /** Pairs of messages that two different contenders worked on at the same time. */
  overlaps: number;
}

export function checkIntegrity(entries: BenchEntry[], published: Iterable<number>): Integrity {
  const seen = new Set<number>();
  const duplicates: number[] = [];
  for (const { seq } of entries) {
    if (seen.has(seq)) duplicates.push(seq);
    seen.add(seq);
  }
  return {
    lost: [...published].filter((seq) => !seen.has(seq)).toSorted((a, b) => a - b),
    duplicates,
    overlaps: countOverlaps(entries),
  };
}

/** Sweeps over the starts in order of time; those that still run when another process starts overlap it. */
export function countOverlaps(entries: BenchEntry[]): number {
  const inOrder = entries.toSorted((a, b) => (a.startNs < b.startNs ? -1 : a.startNs > b.startNs ? 1 : 0));
  let overlaps = 0;
  let running: BenchEntry[] = [];
  for (const entry of inOrder) {
    running = running.filter(({ endNs }) => endNs > entry.startNs);
    overlaps += running.filter(({ process }) => process !== entry.process).length;
    running.push(entry);
  }
  return overlaps;
}
