import type { ICompare, IRequestOp, ITxnRequest } from 'etcd3';
import type { Party, Receipt } from '../../workflows/contract';
import type { CandidateKey, CordonKey, HolderChange, LockView } from '../pod/lock-store';
import { encodeValue, unreadable, type LockKeys } from './lock-keys';
import { viewRequests } from './lock-view';

/**
 * Why a change may not be made, judged by the view alone: one sentence, or `null` when nothing speaks against
 * it. Rules for the three kinds of change:
 * - acquisition (`first`, `takeover`): nobody holds; not paused;
 * - hand-over (`switch`, `shutdown`): somebody else holds; while paused only `shutdown`, within the region;
 * - new token for the spare (`listener-restart`): the same pod holds, with its candidate's lease; whatever
 *   the candidate's state, also while paused.
 * For all: not blocked, no successor of another region, and the new holder's candidate is there. While its region is
 * cordoned, only `listener-restart`.
 */
export function whyNotChange(change: HolderChange): string | null {
  const { view, to, cause } = change;
  const { holder, paused, blocked, successor } = view;
  const target = `${to.region}/${to.pod}`;
  const cordon = findCordon(view, to.region);
  const restart = cause === 'listener-restart';
  const acquire = cause === 'first' || cause === 'takeover';

  if (acquire && holder) return `${holder.region}/${holder.pod} holds the lock under token ${holder.token}`;
  if (!acquire && !holder) return `nobody holds the lock, so it cannot change hands by ${cause}`;
  if (holder?.pod === unreadable)
    return `the holder key (token ${holder.token}) cannot be read, so its holder is unknown`;
  if (holder && restart && (holder.region !== to.region || holder.pod !== to.pod))
    return `${target} cannot begin a new tenure in place: ${holder.region}/${holder.pod} holds the lock`;
  if (holder && !restart && holder.pod === to.pod && holder.region === to.region)
    return `${target} already holds the lock under token ${holder.token}`;
  if (paused && !restart && !(cause === 'shutdown' && holder?.region === to.region))
    return `paused by ${paused.who} since ${paused.when} (${paused.why}): no ${cause} to ${target}`;
  if (cordon && !restart)
    return `${to.region} is cordoned by ${cordon.who} since ${cordon.when} (${cordon.why}): no ${cause} to ${target}`;
  if (blocked) return `blocked (${blocked.why}): nobody may acquire`;
  if (successor && successor.region !== to.region)
    return `reserved for region ${successor.region} by ${successor.switchId}, not for ${to.region}`;

  const candidate = findCandidate(view, to);
  if (!candidate) return `${target} is not a candidate`;
  if (restart)
    return holder && holder.leaseId !== candidate.leaseId
      ? `${target} holds the lock under lease ${holder.leaseId}, but its candidate has lease ${candidate.leaseId}`
      : null;
  if (candidate.state !== 'ready') return `${target} is ${candidate.state}, not ready`;
  if (!candidate.standing) return `${target} is ready but not standing`;
  return null;
}

/**
 * The one builder of every transaction that puts `holder`. It compares everything in the view that the
 * decision rests on, exactly as read, so that it is applied to that state of the lock or not at all; both
 * branches end with the reads of `viewRequests`, and the refusing one adds `aborted/<id>` and `receipts/<id>`.
 * Requires `whyNotChange(change)` to be `null`. `at` is the time of the decision, ISO 8601.
 *
 * `id` works once: with its receipt there, or `aborted/<id>`, the transaction is refused. So of a repeated
 * request, or of a hand-over and its abort, only the one that commits first has an effect.
 */
export function buildHolderTransaction(
  keys: LockKeys,
  change: HolderChange,
  at: string,
): { request: ITxnRequest; receipt: Receipt } {
  const { view, to, id } = change;
  const candidate = findCandidate(view, to);
  if (!candidate) throw new RangeError(`${to.region}/${to.pod} is not a candidate in the view`);
  const receipt = receiptOf(keys, change, at);
  const aborted = keys.aborted(id);
  const receiptKey = keys.receipt(id);
  const value = encodeValue('receipt', receipt);
  const read = viewRequests(keys);
  return {
    receipt,
    request: {
      compare: [
        unchanged(keys.last, view.last),
        unchanged(keys.paused, view.paused),
        unchanged(keys.blocked, view.blocked),
        unchanged(keys.successor, view.successor),
        unchanged(keys.cordon(to.region), findCordon(view, to.region)),
        unchanged(keys.candidate(to.region, to.pod), candidate),
        ...presentHolderCompares(keys, view, to),
        unchanged(aborted, null),
        unchanged(receiptKey, null),
      ],
      success: [
        put(keys.holder, encodeValue('holder', { ...to, since: at }), candidate.leaseId),
        put(keys.last, value),
        put(receiptKey, value),
        ...(view.successor ? [remove(keys.successor)] : []),
        ...read,
      ],
      failure: [...read, get(aborted), get(receiptKey)],
    },
  };
}

/**
 * The holder as read, and its candidate key: a holder that puts its own candidate key again makes every
 * hand-over of its tenure impossible whose answer it is still missing.
 */
function presentHolderCompares(keys: LockKeys, view: LockView, to: HolderChange['to']): ICompare[] {
  const { holder } = view;
  if (!holder) return [unchanged(keys.holder, null)];
  const compares = [unchanged(keys.holder, { modRevision: holder.token })];
  if (holder.region !== to.region || holder.pod !== to.pod)
    compares.push(unchanged(keys.candidate(holder.region, holder.pod), findCandidate(view, holder)));
  return compares;
}

function receiptOf(keys: LockKeys, change: HolderChange, at: string): Receipt {
  const { view, to, cause } = change;
  const { holder } = view;
  const last = view.last?.receipt;
  // Without a holder, the one who had it before: the new one of the last change, or who released it then.
  const before: Party | null = holder ?? last?.to ?? last?.from ?? null;
  // Who releases knows it, and the receipt of whoever comes next needs it for the gap.
  const finishedBefore = !holder && last && !last.to ? last.lastFinishedAt : null;
  return {
    id: change.id,
    lock: keys.lock,
    cause: holder ? cause : last ? 'takeover' : 'first',
    why: change.why,
    by: change.by,
    from: before && { region: before.region, pod: before.pod, token: before.token },
    // Its token is this transaction's revision: filled in by whoever reads it.
    to: { ...to, token: 0 },
    at,
    drained: change.drained ?? null,
    requeued: change.requeued ?? null,
    lastFinishedAt: change.lastFinishedAt ?? finishedBefore,
    firstStartedAt: null,
    gapMs: null,
    ...(change.answers && { answers: change.answers }),
    ...(change.trace && { trace: change.trace }),
  };
}

export function findCandidate(view: LockView, of: { region: string; pod: string }): CandidateKey | null {
  return view.candidates.find((c) => c.region === of.region && c.pod === of.pod) ?? null;
}

export const findCordon = (view: LockView, region: string): CordonKey | null =>
  view.cordons.find((cordon) => cordon.region === region) ?? null;

/** The key is as it was read; `null`: it was absent, and still is. */
export function unchanged(key: string, read: { modRevision: number } | null): ICompare {
  return {
    key: Buffer.from(key),
    target: 'Mod',
    result: 'Equal',
    mod_revision: read?.modRevision ?? 0,
  };
}

export function put(key: string, value: Buffer, leaseId?: string): IRequestOp {
  const request = { key: Buffer.from(key), value };
  return { request_put: leaseId === undefined ? request : { ...request, lease: leaseId } };
}

export function remove(key: string): IRequestOp {
  return { request_delete_range: { key: Buffer.from(key) } };
}

export function get(key: string): IRequestOp {
  return { request_range: { key: Buffer.from(key) } };
}
