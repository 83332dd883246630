import type { ITxnRequest } from 'etcd3';
import type { Party, Receipt } from '../../workflows/contract';
import type { CandidateWrite, Release } from '../pod/lock-store';
import { get, put, remove, unchanged } from './holder-transaction';
import { encodeValue, type LockKeys } from './lock-keys';
import { viewRequests } from './lock-view';

/**
 * Deletes `holder` if it still has the token, with everything that belongs to it: `last`, the receipt,
 * `successor` under `successorLease` when the lock is released towards a region, and the pod's own candidate
 * key; of a forced release, `blocked` and no candidate key of the holder. Both branches end with the reads of `viewRequests`; the refusing one adds `receipts/<id>`.
 */
export function buildReleaseTransaction(
  keys: LockKeys,
  release: Release,
  from: Party,
  at: string,
  successorLease: string | null,
): { request: ITxnRequest; receipt: Receipt } {
  const receipt: Receipt = {
    id: release.id,
    lock: keys.lock,
    cause: release.force ? 'force' : 'release',
    why: release.why,
    by: release.by,
    from,
    to: null,
    at,
    drained: release.drained ?? null,
    requeued: release.requeued ?? null,
    lastFinishedAt: release.lastFinishedAt ?? null,
    firstStartedAt: null,
    gapMs: null,
  };
  const value = encodeValue('receipt', receipt);
  const receiptKey = keys.receipt(release.id);
  const read = viewRequests(keys);
  const { towards, candidate, force } = release;
  return {
    receipt,
    request: {
      compare: [unchanged(keys.holder, { modRevision: release.token }), unchanged(receiptKey, null)],
      success: [
        remove(keys.holder),
        put(keys.last, value),
        put(receiptKey, value),
        ...(towards && successorLease !== null
          ? [
              put(
                keys.successor,
                encodeValue('successor', { region: towards.region, switchId: release.id }),
                successorLease,
              ),
            ]
          : []),
        ...(candidate ? [putCandidate(keys, candidate)] : []),
        ...(force ? [remove(keys.candidate(force.holder.region, force.holder.pod))] : []),
        ...(force?.blocks ? [put(keys.blocked, encodeValue('blocked', { why: release.why }))] : []),
        ...read,
      ],
      failure: [...read, get(receiptKey)],
    },
  };
}

export function putCandidate(keys: LockKeys, candidate: CandidateWrite) {
  const { region, pod, leaseId, state, standing, since, version, health, offer, preparedFor } = candidate;
  const value = encodeValue('candidate', {
    state,
    standing,
    since,
    version,
    ...(health === undefined ? {} : { health }),
    ...(offer === undefined ? {} : { offer }),
    ...(preparedFor === undefined ? {} : { preparedFor }),
  });
  return put(keys.candidate(region, pod), value, leaseId);
}
