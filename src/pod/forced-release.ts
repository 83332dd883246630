import type { BrokerFence, Force, ForceOutcome } from '../../workflows/contract';
import type { LockSettings } from '../config/config';
import type { LockStore, LockView } from './lock-store';

/** For so long, once it may be acquired, only the region that it was forced to may do so. */
const windowMs = 10_000;
const noLease = '0';

/** Closes the fenced holder's connections to its broker. Never throws, and is bounded in time. */
export type FenceBroker = (holder: { region: string; pod: string }) => Promise<BrokerFence>;

/**
 * Takes the lock from a holder that does not answer. Its candidate key goes with `holder`, so none of its extensions
 * can be confirmed any more: its last one was sent before, and its deadline comes within one TTL. Until then `blocked`
 * keeps everybody out, unless the operator does not want to wait.
 *
 * `blocked` gets its lease only after that transaction is known to be committed: however slow etcd was, it then lasts
 * for a whole TTL. A caller that dies in between leaves a block without an end: safe, and ended by asking again.
 * In between, too, the broker closes the old holder's connections: what it held is back in the queue before anybody
 * may start.
 *
 * @throws UnknownOutcomeError when etcd did not answer; asked again under the same switch id it answers the same.
 */
export async function forceRelease(
  store: LockStore,
  { leaseTtlMs, preference }: Pick<LockSettings, 'leaseTtlMs' | 'preference'>,
  force: Force,
  fenceBroker: FenceBroker,
): Promise<ForceOutcome> {
  if (preference.never.includes(force.to))
    return { outcome: 'refused', why: `${force.to} may never be active (preference.never)` };
  const outcome = await releaseOnce(store, leaseTtlMs, force, await store.read());
  if (outcome.outcome === 'refused') return outcome;
  const { from } = outcome.receipt;
  const broker = from && (await fenceBroker(from));
  await endBlock(store, leaseTtlMs, await store.read());
  return { ...outcome, ...(broker && { broker }) };
}

/**
 * The second half, where the first was done by somebody who has died since. `null`: there was nothing to do.
 */
export async function finishForced(
  store: LockStore,
  leaseTtlMs: number,
  view: LockView,
  fenceBroker: FenceBroker,
): Promise<BrokerFence | null> {
  const from = view.last?.receipt.from;
  if (!from || !unendedBlock(view)) return null;
  const broker = await fenceBroker(from);
  await endBlock(store, leaseTtlMs, view);
  return broker;
}

const unendedBlock = ({ blocked, last }: LockView): LockView['blocked'] =>
  last?.receipt.cause === 'force' && blocked?.leaseId === noLease ? blocked : null;

async function endBlock(store: LockStore, leaseTtlMs: number, view: LockView): Promise<void> {
  const blocked = unendedBlock(view);
  if (blocked) await store.endBlock(blocked, leaseTtlMs);
}

function whyNobodyWouldTakeIt({ paused, candidates, cordons }: LockView, to: string): string | null {
  if (paused)
    return `paused by ${paused.who} since ${paused.when} (${paused.why}): nobody could take it over`;
  const cordon = cordons.find(({ region }) => region === to);
  if (cordon) return `${to} is cordoned by ${cordon.who} since ${cordon.when}: ${cordon.why}`;
  const isReady = candidates.some(
    ({ region, state, standing }) => region === to && state === 'ready' && standing,
  );
  return isReady ? null : `no candidate in ${to} is ready and stands`;
}

async function releaseOnce(
  store: LockStore,
  leaseTtlMs: number,
  { switchId: id, token, to, reason, by, waitFor }: Force,
  view: LockView,
): Promise<ForceOutcome> {
  const { holder } = view;
  if (holder?.token !== token) {
    const receipt = await store.readReceipt(id);
    if (receipt) return { outcome: 'released', receipt };
    const now = holder
      ? `${holder.region}/${holder.pod} holds the lock now, under token ${holder.token}`
      : 'nobody holds the lock any more';
    return { outcome: 'refused', why: now };
  }
  const obstacle = whyNobodyWouldTakeIt(view, to);
  if (obstacle !== null) return { outcome: 'refused', why: obstacle };
  const { region, pod } = holder;
  const blocks = waitFor === 'deadline';
  const why = blocks
    ? reason
    : `${reason} (without waiting for ${region}/${pod}, which may have worked on: messages may have been processed twice)`;
  const result = await store.release({
    id,
    view,
    token,
    why,
    by,
    towards: { region: to, windowMs: (blocks ? leaseTtlMs : 0) + windowMs },
    force: { holder: { region, pod }, blocks },
  });
  return result.outcome === 'applied'
    ? { outcome: 'released', receipt: result.receipt }
    : { outcome: 'refused', why: result.why };
}
