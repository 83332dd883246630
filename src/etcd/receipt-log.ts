import type { IKeyValue } from 'etcd3';
import { UnknownOutcomeError } from '../../activities/errors';
import type { Receipt, SwitchAnswer } from '../../workflows/contract';
import type { EtcdClient } from './etcd-client';
import { get, put, remove, unchanged } from './holder-transaction';
import { encodeValue, prefixEnd, revisionNumber, type LockKeys } from './lock-keys';
import { parseReceipt, type Report } from './lock-view';

/** Below etcd's default of 128 operations in one transaction. */
const trimBatch = 100;
/** Trimming goes on in the next call after so many batches. */
const maxTrimBatches = 50;
const maxSwaps = 10;

/** The receipts of one lock. Their order is that of their create revisions, which are the tokens. */
export class ReceiptLog {
  constructor(
    private readonly client: EtcdClient,
    private readonly keys: LockKeys,
    private readonly report: Report,
  ) {}

  async read(id: string): Promise<Receipt | null> {
    return (await this.find(id))?.receipt ?? null;
  }

  /** With the revision at which the change was made. */
  async find(id: string): Promise<{ receipt: Receipt; revision: number } | null> {
    const kv = await this.readKey(id);
    const receipt = kv && this.parse(kv);
    return receipt && { receipt, revision: revisionNumber(kv.create_revision) };
  }

  /** Newest first; those that cannot be read are left out, and reported. */
  async list(limit: number): Promise<Receipt[]> {
    if (limit <= 0) return [];
    const { kvs } = await this.client.range(`list the receipts of ${this.keys.lock}`, {
      key: Buffer.from(this.keys.receipts),
      range_end: prefixEnd(this.keys.receipts),
      sort_target: 'Create',
      sort_order: 'Descend',
      limit,
    });
    return kvs.flatMap((kv) => this.parse(kv) ?? []);
  }

  /** The first call decides; `null` when there is no such receipt. */
  complete(id: string, firstStartedAt: string): Promise<Receipt | null> {
    return this.change(`complete receipt ${id}`, id, (receipt) => {
      if (receipt.firstStartedAt !== null) return receipt;
      const { lastFinishedAt } = receipt;
      const gapMs = lastFinishedAt === null ? NaN : Date.parse(firstStartedAt) - Date.parse(lastFinishedAt);
      return { ...receipt, firstStartedAt, gapMs: Number.isNaN(gapMs) ? null : gapMs };
    });
  }

  /** Once for each stage and sender. */
  addAnswer(id: string, answer: SwitchAnswer): Promise<Receipt | null> {
    return this.change(`add an answer to receipt ${id}`, id, (receipt) => {
      const { answers = [] } = receipt;
      const known = answers.some(({ stage, from }) => stage === answer.stage && from === answer.from);
      return known ? receipt : { ...receipt, answers: [...answers, answer] };
    });
  }

  /** `edit` returns the same object where nothing is to be written. */
  private async change(
    what: string,
    id: string,
    edit: (receipt: Receipt) => Receipt,
  ): Promise<Receipt | null> {
    let kv = await this.readKey(id);
    for (let swap = 0; swap < maxSwaps && kv; swap += 1) {
      const receipt = this.parse(kv);
      const edited = receipt && edit(receipt);
      if (edited === null || edited === receipt) return receipt;
      const key = this.keys.receipt(id);
      const answer = await this.client.txn(what, {
        compare: [unchanged(key, { modRevision: revisionNumber(kv.mod_revision) })],
        success: [put(key, encodeValue('receipt', edited))],
        failure: [get(key)],
      });
      if (answer.succeeded) return edited;
      kv = answer.responses[0]?.response_range.kvs[0] ?? null;
    }
    if (kv) throw new UnknownOutcomeError(`receipt ${id} was changed by others ${maxSwaps} times in a row`);
    return null;
  }

  /** Two at a time do no harm: both delete the same oldest ones. */
  async trim(keep: number): Promise<void> {
    const what = `trim the receipts of ${this.keys.lock}`;
    for (let batch = 0; batch < maxTrimBatches; batch += 1) {
      const { kvs, count } = await this.client.range(what, {
        key: Buffer.from(this.keys.receipts),
        range_end: prefixEnd(this.keys.receipts),
        sort_target: 'Create',
        sort_order: 'Ascend',
        keys_only: true,
        limit: trimBatch,
      });
      const excess = Math.min(trimBatch, Number(count) - keep);
      if (excess <= 0) return;
      const success = kvs.slice(0, excess).map((kv) => remove(kv.key.toString()));
      await this.client.txn(what, { success }, true);
    }
  }

  private parse(kv: IKeyValue): Receipt | null {
    return parseReceipt(kv, revisionNumber(kv.create_revision), this.report);
  }

  private async readKey(id: string): Promise<IKeyValue | null> {
    const key = Buffer.from(this.keys.receipt(id));
    const { kvs } = await this.client.range(`read receipt ${id}`, { key });
    return kvs[0] ?? null;
  }
}
