import type { Receipt } from '../../workflows/contract';
import type { AuditEvent } from '../audit/audit-entry';
import type { LockStore, LockView } from './lock-store';

/** Of one look; more changes at once than this are not told between two views of a pod. */
const receiptsRead = 20;
const keptIds = 1_000;
/** As many as etcd has at most. */
const keptReceipts = 1_000;

/** What one lock's agent tells for the record. Nothing of it delays or fails the agent's own work. */
export class AuditTrail {
  /** Receipts on record, oldest first. */
  private readonly known = new Set<string>();
  private reading: Promise<void> = Promise.resolve();

  constructor(
    private readonly lock: string,
    private readonly store: LockStore,
    private readonly append: (event: AuditEvent) => void,
  ) {}

  /** A view came: a change that it shows for the first time is recorded, with those that came between. */
  noteView({ last }: LockView): void {
    if (!last || this.known.has(last.receipt.id)) return;
    this.remember(last.receipt);
    const newest = last.receipt;
    this.reading = this.reading.then(async () => {
      // Without etcd's answer the newest one is recorded alone.
      const receipts = await this.store.listReceipts(receiptsRead).catch(() => [newest]);
      const news = receipts.filter(({ id }) => id === newest.id || !this.known.has(id)).toReversed();
      for (const receipt of news) {
        this.remember(receipt);
        this.append({ kind: 'receipt', lock: this.lock, receipt });
      }
    });
  }

  /** Every receipt that etcd has, oldest first. */
  async allReceipts(): Promise<AuditEvent[]> {
    const receipts = await this.store.listReceipts(keptReceipts);
    return receipts.toReversed().map((receipt) => ({ kind: 'receipt', lock: this.lock, receipt }));
  }

  /** With its first message, and the gap. */
  noteCompleted(receipt: Receipt): void {
    this.remember(receipt);
    this.append({ kind: 'receipt', lock: this.lock, receipt });
  }

  noteTenure(event: string, token: number, why: string): void {
    this.append({ kind: 'tenure', lock: this.lock, event, token, why });
  }

  private remember({ id }: Receipt): void {
    this.known.add(id);
    const [oldest] = this.known;
    if (this.known.size > keptIds && oldest !== undefined) this.known.delete(oldest);
  }
}
