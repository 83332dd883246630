import { setTimeout as sleep } from 'node:timers/promises';
import type { Receipt } from '../../workflows/contract';
import type { CrashTarget } from '../../workflows/operations-contract';
import { standbysOf } from '../pod/candidates';
import type { LockStore, LockView } from '../pod/lock-store';
import { awaitFirstMessage } from './planned-switch';

const pollMs = 200;
/** On top of the TTL, from the kill: etcd's expiry and the takeover, on a machine that has much else to do. */
const beyondTtlMs = 60_000;
/** An empty queue has none. */
const firstMessageMs = 5_000;
/** Changes of holder that may have come on top of the one that is looked for. */
const receiptsToLookThrough = 50;

/** Whom a crash drill would kill, and who could take over at once. */
export function crashTarget(view: LockView): CrashTarget {
  const { holder } = view;
  return {
    holder: holder && { region: holder.region, pod: holder.pod, token: holder.token },
    standbys: standbysOf(view, holder?.pod ?? '').map(({ region, pod }) => ({ region, pod })),
  };
}

/** The receipt of the tenure that came after `token`, `null` when there is none by the limit. */
export async function awaitRecovery(
  store: LockStore,
  leaseTtlMs: number,
  { token, killedAt }: { token: number; killedAt: string },
  signal: AbortSignal,
): Promise<Receipt | null> {
  const giveUpAt = Date.parse(killedAt) + leaseTtlMs + beyondTtlMs;
  do {
    const { holder } = await store.read();
    const receipts = holder && holder.token > token ? await store.listReceipts(receiptsToLookThrough) : [];
    const next = receipts.find(({ from, to }) => from?.token === token && to !== null);
    if (next) return await awaitFirstMessage(next, () => store.readReceipt(next.id), firstMessageMs, pollMs);
    await sleep(pollMs, undefined, { signal });
  } while (Date.now() < giveUpAt);
  return null;
}
