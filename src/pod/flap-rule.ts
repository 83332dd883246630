import type { Receipt } from '../../workflows/contract';
import type { LockStore, LockView } from './lock-store';

const windowMs = 3_600_000;
/** To be read: of an hour, whatever other changes are among them. */
const receiptsForFlaps = 200;

/** By nobody's wish: the old holder was gone, or gave the lock away because it could not work. */
const isAutomatic = ({ cause, by, from }: Receipt): boolean =>
  cause === 'takeover' || (cause === 'switch' && by === from?.pod);

const changesRegion = ({ from, to }: Receipt): boolean =>
  from !== null && to !== null && from.region !== to.region;

/**
 * Why the lock should stay in its region instead of changing by itself once more, or `null`. `receipts` newest first,
 * `now` in ms since 1970; changes before the last `ack` do not count.
 */
export function whyStay(
  receipts: Receipt[],
  acked: LockView['flap']['acked'],
  maxChangesPerHour: number,
  now: number,
): string | null {
  const since = new Date(now - windowMs).toISOString();
  const from = acked && acked.when > since ? acked.when : since;
  const counted = receipts.filter(
    (each, index) =>
      each.at > from &&
      isAutomatic(each) &&
      changesRegion(each) &&
      // Taken over at an operator's word.
      receipts[index + 1]?.cause !== 'force',
  );
  if (counted.length < maxChangesPerHour) return null;
  return `it has changed its region ${counted.length} times by itself within the last hour (maxChangesPerHour = ${maxChangesPerHour})`;
}

/** The same by the receipts in etcd. */
export async function readWhyStay(
  store: Pick<LockStore, 'listReceipts'>,
  { flap: { acked } }: LockView,
  maxChangesPerHour: number,
): Promise<string | null> {
  return whyStay(await store.listReceipts(receiptsForFlaps), acked, maxChangesPerHour, Date.now());
}

/** Whether a free lock, taken by this region, would leave the one that it was in, although nobody has named this one. */
export function changesByItself({ last, successor }: LockView, region: string): boolean {
  const { to, from } = last?.receipt ?? {};
  const before = (to ?? from)?.region ?? region;
  return before !== region && successor?.region !== region;
}
