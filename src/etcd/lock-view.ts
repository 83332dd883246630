import type { IKeyValue, IRequestOp, IResponseHeader, IResponseOp } from 'etcd3';
import type { CandidateKey, HolderKey, LockView } from '../pod/lock-store';
import type { Marked, Receipt } from '../../workflows/contract';
import { decodeValue, prefixEnd, revisionNumber, unreadable, type LockKeys } from './lock-keys';

/** Told of each value that cannot be read, once per version of its key. */
export type Report = (problem: string) => void;

/** The reads that make one `LockView`, for any transaction's branch. */
export function viewRequests(keys: LockKeys): IRequestOp[] {
  const one = (key: string): IRequestOp => ({ request_range: { key: Buffer.from(key) } });
  const all = (prefix: string): IRequestOp => ({
    request_range: { key: Buffer.from(prefix), range_end: prefixEnd(prefix) },
  });
  return [
    one(keys.holder),
    one(keys.last),
    one(keys.successor),
    one(keys.blocked),
    one(keys.paused),
    all(keys.candidates),
    all(keys.cordons),
    all(keys.flap),
  ];
}

/** `responses` are those of `viewRequests`, in its order. */
export function parseView(
  keys: LockKeys,
  header: IResponseHeader,
  responses: IResponseOp[],
  report: Report,
): LockView {
  const kvs = responses.map((response) => response.response_range.kvs);
  const first = (index: number): IKeyValue | undefined => kvs[index]?.[0];
  const [holder, last, successor, blocked, paused] = [0, 1, 2, 3, 4].map(first);
  return {
    revision: revisionNumber(header.revision),
    raftTerm: revisionNumber(header.raft_term),
    holder: holder ? parseHolder(holder, report) : null,
    last: last ? parseLast(keys, last, report) : null,
    candidates: (kvs[5] ?? []).flatMap((kv) => parseCandidate(keys, kv, report) ?? []),
    successor: successor ? parseSuccessor(successor, report) : null,
    blocked: blocked ? parseBlocked(blocked, report) : null,
    paused: paused ? parseMarked('paused', paused, report) : null,
    flap: parseFlap(keys, kvs[7] ?? [], report),
    cordons: (kvs[6] ?? []).map((kv) => ({
      region: kv.key.toString().slice(keys.cordons.length),
      ...parseMarked('cordoned', kv, report),
    })),
  };
}

/** An unreadable holder is a holder: unknown, but nobody else may have the lock. */
export function parseHolder(kv: IKeyValue, report: Report): HolderKey {
  const decoded = decodeValue('holder', kv.key.toString(), kv.value);
  if ('problem' in decoded) report(decoded.problem);
  const value =
    'value' in decoded ? decoded.value : { region: unreadable, pod: unreadable, since: unreadable };
  return { ...value, leaseId: kv.lease, token: revisionNumber(kv.mod_revision) };
}

/** `token` is the revision at which the receipt was created; it cannot be known when it is written. */
export function parseReceipt(kv: IKeyValue, token: number, report: Report): Receipt | null {
  const decoded = decodeValue('receipt', kv.key.toString(), kv.value);
  if ('problem' in decoded) {
    report(decoded.problem);
    return null;
  }
  const receipt = decoded.value;
  return { ...receipt, to: receipt.to && { ...receipt.to, token } };
}

function parseLast(keys: LockKeys, kv: IKeyValue, report: Report): LockView['last'] {
  const modRevision = revisionNumber(kv.mod_revision);
  const receipt = parseReceipt(kv, modRevision, report) ?? {
    id: unreadable,
    lock: keys.lock,
    cause: 'release',
    why: `the value of ${keys.last} could not be read`,
    by: unreadable,
    from: null,
    to: null,
    at: unreadable,
    drained: null,
    requeued: null,
    lastFinishedAt: null,
    firstStartedAt: null,
    gapMs: null,
  };
  return { receipt, modRevision };
}

/** An unreadable candidate is not one that anybody should hand the lock to. */
function parseCandidate(keys: LockKeys, kv: IKeyValue, report: Report): CandidateKey | null {
  const key = kv.key.toString();
  const name = keys.parseCandidate(key);
  if (!name) {
    report(`the key ${key} is not a candidate's: expected ${keys.candidates}<region>/<pod>`);
    return null;
  }
  const decoded = decodeValue('candidate', key, kv.value);
  if ('problem' in decoded) report(decoded.problem);
  const value =
    'value' in decoded
      ? decoded.value
      : { state: 'unhealthy' as const, standing: false, since: unreadable, version: unreadable };
  return { ...name, ...value, leaseId: kv.lease, modRevision: revisionNumber(kv.mod_revision) };
}

/** An unreadable successor keeps every region out until its short lease ends. */
function parseSuccessor(kv: IKeyValue, report: Report): LockView['successor'] {
  const decoded = decodeValue('successor', kv.key.toString(), kv.value);
  if ('problem' in decoded) report(decoded.problem);
  const value = 'value' in decoded ? decoded.value : { region: unreadable, switchId: unreadable };
  return { ...value, modRevision: revisionNumber(kv.mod_revision) };
}

function parseBlocked(kv: IKeyValue, report: Report): LockView['blocked'] {
  const decoded = decodeValue('blocked', kv.key.toString(), kv.value);
  if ('problem' in decoded) report(decoded.problem);
  const why = 'value' in decoded ? decoded.value.why : decoded.problem;
  return { why, leaseId: kv.lease, modRevision: revisionNumber(kv.mod_revision) };
}

function parseFlap(keys: LockKeys, kvs: IKeyValue[], report: Report): LockView['flap'] {
  const of = (key: string): IKeyValue | undefined => kvs.find((kv) => kv.key.toString() === key);
  const [tripped, acked] = [of(keys.tripped), of(keys.acked)];
  return {
    tripped: tripped ? parseMarked('tripped', tripped, report) : null,
    acked: acked ? parseMarked('acked', acked, report) : null,
  };
}

/** An unreadable mark holds like any other. */
function parseMarked(
  kind: 'paused' | 'cordoned' | 'tripped' | 'acked',
  kv: IKeyValue,
  report: Report,
): Marked & { modRevision: number } {
  const decoded = decodeValue(kind, kv.key.toString(), kv.value);
  if ('problem' in decoded) report(decoded.problem);
  const value =
    'value' in decoded ? decoded.value : { who: unreadable, why: decoded.problem, when: unreadable };
  return { ...value, modRevision: revisionNumber(kv.mod_revision) };
}
