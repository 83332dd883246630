import type { Receipt, StepRecord } from '../../workflows/contract';
import type { LockView } from '../pod/lock-store';
import type { LaneSpan, LaneState } from './feed-contract';

/** What a region does, by etcd's word and, for the drain, its workflow's. */
export function laneState(view: LockView | null, region: string, draining: boolean): LaneState {
  if (!view) return 'unknown';
  const { holder, last } = view;
  const own = view.candidates.filter((candidate) => candidate.region === region);
  if (holder?.region === region) {
    const leaving = own.some(({ pod, state }) => pod === holder.pod && state === 'draining');
    return leaving || draining ? 'draining' : 'active';
  }
  const lastHolder = last?.receipt.to ?? last?.receipt.from;
  if (!holder && lastHolder?.region === region) return 'gap';
  if (own.some(({ state, standing }) => state === 'ready' && standing)) return 'standby';
  return own.length > 0 ? 'not-ready' : 'unreachable';
}

/** The changes that somebody has looked on at, oldest first; at most `limit` of each region. */
export class ObservedLanes {
  private readonly spans = new Map<string, LaneSpan[]>();

  constructor(private readonly limit = 300) {}

  /** `since`: when the very first one began, if that is known. */
  note(region: string, state: LaneState, at: number, since = at): boolean {
    const own = this.spans.get(region) ?? [];
    const latest = own.at(-1);
    if (latest?.state === state) return false;
    if (latest) latest.to = at;
    own.push({ state, from: latest ? at : Math.min(at, since), to: null });
    if (own.length > this.limit) own.shift();
    this.spans.set(region, own);
    return true;
  }

  of(region: string): LaneSpan[] {
    return this.spans.get(region) ?? [];
  }
}

/**
 * Who was active when, and when nobody was, as the receipts tell it: to the millisecond, and also from before anybody
 * looked on. `drains`: when the drain of a switch began, by its id.
 */
export function spansOfReceipts(
  newestFirst: Receipt[],
  drains: ReadonlyMap<string, number>,
  leaseTtlMs: number,
): Record<string, LaneSpan[]> {
  const lanes: Record<string, LaneSpan[]> = {};
  const put = (region: string, span: LaneSpan): void => {
    (lanes[region] ??= []).push(span);
  };
  const receipts = newestFirst.toReversed();
  for (const [index, receipt] of receipts.entries()) {
    const next = receipts[index + 1];
    const { to } = receipt;
    const begins = beginOf(receipt);
    if (to) {
      const ends = next ? endOf(next, leaseTtlMs) : null;
      const drain = next && drains.get(next.id);
      if (drain !== undefined && ends !== null && drain > begins && drain < ends) {
        put(to.region, { state: 'active', from: begins, to: drain, receipt: receipt.id });
        put(to.region, { state: 'draining', from: drain, to: ends });
      } else put(to.region, { state: 'active', from: begins, to: ends, receipt: receipt.id });
    }
    const { from } = receipt;
    if (!from) continue;
    const stopped = endOf(receipt, leaseTtlMs);
    const until = to ? begins : next ? beginOf(next) : null;
    if (until !== null && until <= stopped) continue;
    const atMost = isSilent(receipt) ? { atMost: true as const } : {};
    put(from.region, { state: 'gap', from: stopped, to: until, receipt: receipt.id, ...atMost });
  }
  return lanes;
}

const time = (text: string | null): number | null => {
  const ms = Date.parse(text ?? '');
  return Number.isNaN(ms) ? null : ms;
};

/** A message that comes later than this after the change, or ended so long before it, says that the queue was empty. */
const idleMs = 5_000;
const unlessIdle = (message: number | null, at: number): number =>
  message !== null && Math.abs(message - at) < idleMs ? message : at;

const beginOf = ({ firstStartedAt, at }: Receipt): number => unlessIdle(time(firstStartedAt), time(at) ?? 0);

/** Nobody told when the former holder stopped. */
const isSilent = ({ cause, lastFinishedAt }: Receipt): boolean =>
  cause === 'takeover' && time(lastFinishedAt) === null;

/** When the former holder stopped; of one that died silently, the earliest that it can have been. */
function endOf(receipt: Receipt, leaseTtlMs: number): number {
  const at = time(receipt.at) ?? 0;
  if (isSilent(receipt)) return at - leaseTtlMs;
  return Math.min(unlessIdle(time(receipt.lastFinishedAt), at), beginOf(receipt));
}

/** When the drain of a switch began, if its workflow told. */
export const drainBegan = (steps: StepRecord[] | undefined): number | null =>
  time(steps?.find(({ step }) => step === 'drain')?.at ?? null);
