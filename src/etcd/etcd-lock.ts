import type { IResponseOp, ITxnRequest } from 'etcd3';
import { LostError, UnknownOutcomeError } from '../../activities/errors';
import type { Mark, MarkResult, Receipt, SwitchAnswer } from '../../workflows/contract';
import type {
  CandidateWrite,
  ChangeResult,
  HolderChange,
  LockStore,
  LockView,
  LockWatch,
  Release,
  WatchHint,
} from '../pod/lock-store';
import type { EtcdClient } from './etcd-client';
import {
  buildHolderTransaction,
  findCordon,
  put,
  remove,
  unchanged,
  whyNotChange,
} from './holder-transaction';
import { encodeValue, LockKeys, revisionNumber } from './lock-keys';
import { EtcdLockWatch } from './lock-watch';
import { parseReceipt, parseView, viewRequests, type Report } from './lock-view';
import { ReceiptLog } from './receipt-log';
import { buildReleaseTransaction, putCandidate } from './release-transaction';

const abortLeaseMs = 60 * 60 * 1_000;
const maxCandidateSwaps = 5;
const maxReported = 1_000;

export interface EtcdLockOptions {
  /** Told once of each value in etcd that cannot be read, in one sentence. */
  report: Report;
  /** Milliseconds. A watch that stays silent for so long is opened anew. Default: twice the request timeout. */
  watchSilenceMs?: number;
}

/** One lock in etcd, for one pod. Closed with its client; watches are closed one by one. */
export class EtcdLock implements LockStore {
  private readonly keys: LockKeys;
  private readonly receiptLog: ReceiptLog;
  private readonly viewRequest: ITxnRequest;
  private readonly reported = new Set<string>();
  /** The mod revision of each candidate key that this store has put. */
  private readonly candidateRevisions = new Map<string, number>();

  constructor(
    private readonly client: EtcdClient,
    readonly lock: string,
    private readonly options: EtcdLockOptions,
  ) {
    this.keys = new LockKeys(lock);
    this.viewRequest = { success: viewRequests(this.keys) };
    this.receiptLog = new ReceiptLog(client, this.keys, this.report);
  }

  grantLease(ttlMs: number): Promise<{ leaseId: string; ttlMs: number }> {
    return this.client.grantLease(ttlMs);
  }

  async keepAlive(leaseId: string): Promise<{ ttlMs: number; raftTerm: number }> {
    const answer = await this.client.keepAlive(leaseId);
    return { ttlMs: Number(answer.TTL) * 1_000, raftTerm: revisionNumber(answer.header.raft_term) };
  }

  revokeLease(leaseId: string): Promise<void> {
    return this.client.revokeLease(leaseId);
  }

  async read(): Promise<LockView> {
    const answer = await this.client.txn(`read lock ${this.lock}`, this.viewRequest, true);
    return parseView(this.keys, answer.header, answer.responses, this.report);
  }

  /**
   * The key is compared with what this store put there last, so that of two writes the earlier one cannot be
   * applied late, over the later one.
   */
  async putCandidate(
    candidate: CandidateWrite,
    options: { whileHolding?: number } = {},
  ): Promise<{ outcome: 'applied' | 'refused'; view: LockView }> {
    const { whileHolding } = options;
    const key = this.keys.candidate(candidate.region, candidate.pod);
    for (let swap = 0; swap < maxCandidateSwaps; swap += 1) {
      const known = this.candidateRevisions.get(key);
      const { applied, view } = await this.transact(
        `put candidate ${candidate.region}/${candidate.pod} of ${this.lock}`,
        [
          unchanged(key, known === undefined ? null : { modRevision: known }),
          ...(whileHolding === undefined ? [] : [unchanged(this.keys.holder, { modRevision: whileHolding })]),
        ],
        [putCandidate(this.keys, candidate)],
      );
      this.noteCandidate(key, candidate, view);
      if (applied) return { outcome: 'applied', view };
      if (whileHolding !== undefined && view.holder?.token !== whileHolding)
        return { outcome: 'refused', view };
    }
    throw new UnknownOutcomeError(
      `candidate ${candidate.region}/${candidate.pod} of ${this.lock} was changed by somebody else ` +
        `${maxCandidateSwaps} times in a row`,
    );
  }

  async changeHolder(change: HolderChange): Promise<ChangeResult> {
    const { view, id, to } = change;
    if (view.last && isOutcomeOf(view.last.receipt, change))
      return { outcome: 'applied', token: view.last.modRevision, receipt: view.last.receipt, view };
    const why = whyNotChange(change);
    if (why !== null) return { outcome: 'refused', why, view };
    const { request, receipt } = buildHolderTransaction(this.keys, change, new Date().toISOString());
    const what = `make ${to.region}/${to.pod} the holder of ${this.lock} (${change.cause} ${id})`;
    return this.settle(what, request, receipt, change.view, (found) => isOutcomeOf(found, change));
  }

  async rehearse(change: HolderChange): Promise<void> {
    const keys = new LockKeys(this.lock, { isRehearsal: true });
    const { request, receipt } = buildHolderTransaction(keys, change, new Date().toISOString());
    const isAbsent = unchanged(keys.holder, null);
    const never = [isAbsent, { ...isAbsent, result: 'Greater' as const }];
    const compare = [...(request.compare ?? []), ...never];
    await this.settle(
      `rehearse for ${this.lock}`,
      { ...request, compare },
      receipt,
      change.view,
      () => false,
    );
  }

  async release(release: Release): Promise<ChangeResult> {
    const { id, token, towards } = release;
    const matches = release.view.holder?.token === token;
    const view = matches ? release.view : await this.read();
    if (view.holder?.token !== token) {
      const found = await this.receiptLog.find(id);
      if (found && isReleaseOf(found.receipt, token))
        return { outcome: 'applied', token: found.revision, receipt: found.receipt, view };
      return { outcome: 'refused', why: `token ${token} does not hold the lock any more`, view };
    }
    const from = { region: view.holder.region, pod: view.holder.pod, token };
    const lease = towards ? (await this.client.grantLease(towards.windowMs)).leaseId : null;
    const at = new Date().toISOString();
    const { request, receipt } = buildReleaseTransaction(this.keys, release, from, at, lease);
    const what = `release ${this.lock}, held under token ${token}`;
    const result = await this.settle(what, request, receipt, view, (found) => isReleaseOf(found, token));
    const { candidate } = release;
    if (candidate)
      this.noteCandidate(this.keys.candidate(candidate.region, candidate.pod), candidate, result.view);
    return result;
  }

  async deleteHolder(token: number): Promise<{ outcome: 'applied' | 'refused'; view: LockView }> {
    const { applied, view } = await this.transact(
      `delete the holder of ${this.lock} under token ${token}`,
      [unchanged(this.keys.holder, { modRevision: token })],
      [remove(this.keys.holder)],
    );
    return { outcome: applied ? 'applied' : 'refused', view };
  }

  async trip(who: string, why: string): Promise<void> {
    const value = encodeValue('tripped', { who, why, when: new Date().toISOString() });
    const { tripped } = this.keys;
    await this.transact(
      `stop automatic changes of ${this.lock}`,
      [unchanged(tripped, null)],
      [put(tripped, value)],
    );
  }

  private async acknowledge(who: string, why: string): Promise<MarkResult> {
    const { tripped, acked } = this.keys;
    const value = encodeValue('acked', { who, why, when: new Date().toISOString() });
    const { applied } = await this.transact(
      `allow automatic changes of ${this.lock}`,
      [{ ...unchanged(tripped, null), result: 'Greater' }],
      [remove(tripped), put(acked, value)],
    );
    const outcome = applied ? 'are allowed again, and counted from now on' : 'were not stopped';
    return { changed: applied, why: `automatic changes of ${this.lock} ${outcome}` };
  }

  async mark({ kind, region, reason, by }: Mark): Promise<MarkResult> {
    if (kind === 'ack') return this.acknowledge(by, reason);
    const key = region === undefined ? this.keys.paused : this.keys.cordon(region);
    const what = region === undefined ? this.lock : `${region} for ${this.lock}`;
    const name = region === undefined ? 'paused' : 'cordoned';
    const sets = kind === 'pause' || kind === 'cordon';
    const value = { who: by, why: reason, when: new Date().toISOString() };
    const { applied, view } = await this.transact(
      `${kind} ${what}`,
      // Absent when it is to be set, there when it is to be taken away.
      [{ ...unchanged(key, null), result: sets ? 'Equal' : 'Greater' }],
      [sets ? put(key, encodeValue(name, value)) : remove(key)],
    );
    if (applied)
      return { changed: true, why: sets ? `${what} is ${name} now` : `${what} is not ${name} any more` };
    const present = region === undefined ? view.paused : findCordon(view, region);
    return {
      changed: false,
      why: present
        ? `${what} is ${name} already, by ${present.who} since ${present.when}: ${present.why}`
        : `${what} is not ${name}`,
    };
  }

  async endBlock({ why, modRevision }: { why: string; modRevision: number }, afterMs: number): Promise<void> {
    const { leaseId } = await this.client.grantLease(afterMs);
    await this.transact(
      `let the block of ${this.lock} end in ${afterMs} ms`,
      [unchanged(this.keys.blocked, { modRevision })],
      [put(this.keys.blocked, encodeValue('blocked', { why }), leaseId)],
    );
  }

  /** The first reason stays. */
  async abortSwitch(switchId: string, why: string): Promise<void> {
    const key = this.keys.aborted(switchId);
    const { leaseId } = await this.client.grantLease(abortLeaseMs);
    await this.client.txn(
      `abort switch ${switchId} of ${this.lock}`,
      {
        compare: [unchanged(key, null)],
        success: [put(key, encodeValue('aborted', { why }), leaseId)],
      },
      true,
    );
  }

  async isAborted(switchId: string): Promise<boolean> {
    const key = Buffer.from(this.keys.aborted(switchId));
    const what = `look whether switch ${switchId} of ${this.lock} is aborted`;
    return (await this.client.range(what, { key, keys_only: true })).kvs.length > 0;
  }

  readReceipt(id: string): Promise<Receipt | null> {
    return this.receiptLog.read(id);
  }

  listReceipts(limit: number): Promise<Receipt[]> {
    return this.receiptLog.list(limit);
  }

  completeReceipt(id: string, firstStartedAt: string): Promise<Receipt | null> {
    return this.receiptLog.complete(id, firstStartedAt);
  }

  addAnswer(id: string, answer: SwitchAnswer): Promise<Receipt | null> {
    return this.receiptLog.addAnswer(id, answer);
  }

  trimReceipts(keep: number): Promise<void> {
    return this.receiptLog.trim(keep);
  }

  watch(onChange: (event: WatchHint) => void): LockWatch {
    const silenceMs = this.options.watchSilenceMs ?? 2 * this.client.requestTimeoutMs;
    return new EtcdLockWatch(this.client, this.keys, onChange, this.report, silenceMs);
  }

  /**
   * Sends a transaction whose branches are those of the two builders: the view, then in the refusing one
   * perhaps `aborted/<id>`, and last `receipts/<id>`. A receipt that `isOurs` there means that an earlier
   * request under the same id was applied: asked again, it answers the same.
   */
  private async settle(
    what: string,
    request: ITxnRequest,
    receipt: Receipt,
    before: LockView,
    isOurs: (found: Receipt) => boolean,
  ): Promise<ChangeResult> {
    let answer;
    try {
      answer = await this.client.txn(what, request);
    } catch (error) {
      if (!(error instanceof LostError)) throw error;
      return { outcome: 'refused', why: error.message, view: await this.read() };
    }
    const reads = viewRequests(this.keys).length;
    const puts = answer.succeeded ? (request.success?.length ?? 0) - reads : 0;
    const parts = answer.responses.slice(puts, puts + reads);
    const view = parseView(this.keys, answer.header, parts, this.report);
    if (answer.succeeded) {
      const token = view.revision;
      return {
        outcome: 'applied',
        token,
        receipt: { ...receipt, to: receipt.to && { ...receipt.to, token } },
        view,
      };
    }
    const extra = answer.responses.slice(reads).map(firstKey);
    const kv = extra.at(-1);
    const token = kv ? revisionNumber(kv.create_revision) : 0;
    const found = kv ? parseReceipt(kv, token, this.report) : null;
    if (found && isOurs(found)) return { outcome: 'applied', token, receipt: found, view };
    const aborted = extra.length > 1 && extra[0] !== undefined;
    const why = aborted
      ? `switch ${receipt.id} has been aborted`
      : kv
        ? `${receipt.id} was used up by another change`
        : `the lock is not as it was read: ${differences(before, view)}`;
    return { outcome: 'refused', why, view };
  }

  private async transact(
    what: string,
    compare: NonNullable<ITxnRequest['compare']>,
    operations: NonNullable<ITxnRequest['success']>,
  ): Promise<{ applied: boolean; view: LockView }> {
    const read = viewRequests(this.keys);
    const answer = await this.client.txn(what, {
      compare,
      success: [...operations, ...read],
      failure: read,
    });
    const parts = answer.responses.slice(-read.length);
    return {
      applied: answer.succeeded,
      view: parseView(this.keys, answer.header, parts, this.report),
    };
  }

  private noteCandidate(key: string, of: CandidateWrite, view: LockView): void {
    const found = view.candidates.find((c) => c.region === of.region && c.pod === of.pod);
    if (found) this.candidateRevisions.set(key, found.modRevision);
    else this.candidateRevisions.delete(key);
  }

  private readonly report: Report = (problem) => {
    if (this.reported.has(problem)) return;
    if (this.reported.size >= maxReported) this.reported.clear();
    this.reported.add(problem);
    this.options.report(problem);
  };
}

function firstKey(response: IResponseOp) {
  return response.response_range.kvs[0];
}

/** Whether the receipt is that of this change: its id, and the holder that it asked for. */
function isOutcomeOf(receipt: Receipt, change: HolderChange): boolean {
  const { to } = receipt;
  return receipt.id === change.id && to?.region === change.to.region && to.pod === change.to.pod;
}

function isReleaseOf(receipt: Receipt, token: number): boolean {
  return receipt.to === null && receipt.from?.token === token;
}

/** What a transaction compared and found changed, in words. */
function differences(before: LockView, now: LockView): string {
  const changed: string[] = [];
  if (before.holder?.token !== now.holder?.token)
    changed.push(now.holder ? `held by ${now.holder.pod} under token ${now.holder.token}` : 'no holder');
  for (const part of ['last', 'paused', 'blocked', 'successor'] as const)
    if (before[part]?.modRevision !== now[part]?.modRevision)
      changed.push(`${part} ${now[part] ? 'was written' : 'was deleted'}`);
  const cordons = (view: LockView) => view.cordons.map((c) => `${c.region} ${c.modRevision}`).join();
  if (cordons(before) !== cordons(now)) changed.push('a cordon changed');
  const candidates = (view: LockView) => view.candidates.map((c) => `${c.pod} ${c.modRevision}`).join();
  if (candidates(before) !== candidates(now)) changed.push('a candidate changed');
  return changed.join(', ') || 'it has changed back';
}
