import { type ChannelModel, type ConfirmChannel, connect } from 'amqplib';
import { setTimeout as sleep } from 'node:timers/promises';
import { type LedgerRecord, readLedger } from '../demo/ledger';
import { checkLedger, type LedgerEvidence } from '../demo/ledger-checker';
import type { Receipt } from '../../workflows/contract';

/** What the ledger says about all queues together. */
export interface MessageSums {
  published: number;
  processed: number;
  lost: number;
  /** Worked on twice, as the death of a process allows; and otherwise. */
  duplicates: number;
  forbiddenDuplicates: number;
  overlaps: number;
  /** ms between the last message under one token and the first under the next, of each change. */
  gapsMs: number[];
}

/** So that a message's number tells its queue. */
const numbersPerQueue = 100_000_000;
const burstMs = 50;
const settleLimitMs = 30_000;

/** Numbered messages to many queues in turn, over one connection: hundreds of publishers would be the load. */
export class QueuesLoad {
  /** Confirmed by the broker, by queue. */
  private readonly published: Set<number>[];
  private unconfirmed = 0;
  private sent = 0;
  private timer: NodeJS.Timeout | undefined;

  private constructor(
    private readonly queues: readonly string[],
    private readonly model: ChannelModel,
    private readonly channel: ConfirmChannel,
  ) {
    this.published = queues.map(() => new Set());
  }

  /** The queues must exist. @throws what amqplib throws. */
  static async connect(url: string, queues: readonly string[]): Promise<QueuesLoad> {
    const model = await connect(url, { timeout: 20_000 });
    // Shown by what is lost; a run without its publisher is worth nothing.
    model.on('error', () => {});
    return new QueuesLoad(queues, model, await model.createConfirmChannel());
  }

  /** Of all queues together. */
  start(messagesPerSecond: number): void {
    const began = performance.now();
    const before = this.sent;
    this.timer = setInterval(() => {
      const due = before + Math.floor(((performance.now() - began) * messagesPerSecond) / 1000);
      while (this.sent < due) this.publish(this.sent++);
    }, burstMs);
  }

  /** Stops, and waits until the broker has answered and no message waits in a queue, for 30 s at most. */
  async settle(): Promise<void> {
    clearInterval(this.timer);
    const giveUpAt = performance.now() + settleLimitMs;
    while (this.unconfirmed > 0 && performance.now() < giveUpAt) await sleep(burstMs);
    for (const queue of this.queues)
      while (performance.now() < giveUpAt && (await this.channel.checkQueue(queue)).messageCount > 0)
        await sleep(burstMs);
    // For those that a handler has in hand.
    await sleep(1_000);
  }

  /** Idempotent. */
  async close(): Promise<void> {
    clearInterval(this.timer);
    await this.model.close().catch(() => undefined); // Closed already.
  }

  /** Judges each queue by itself. `receiptsOf`: by the queue's index. */
  async judge(
    ledgerFolder: string,
    evidence: Pick<LedgerEvidence, 'deaths' | 'concurrency'>,
    receiptsOf: (index: number) => Promise<Receipt[]>,
  ): Promise<MessageSums> {
    const processes = readLedger(ledgerFolder).map(({ pid, records }) => ({
      pid,
      byQueue: byQueue(records),
    }));
    const sums = { published: 0, processed: 0, lost: 0, duplicates: 0, forbiddenDuplicates: 0, overlaps: 0 };
    const gapsMs: number[] = [];
    for (const [i, published] of this.published.entries()) {
      const verdict = checkLedger({
        ...evidence,
        published,
        processes: processes.map(({ pid, byQueue: queues }) => ({ pid, records: queues.get(i) ?? [] })),
        receipts: await receiptsOf(i),
      });
      const allowed = verdict.duplicates.filter((each) => each.allowed).length;
      sums.published += verdict.published;
      sums.processed += verdict.processed;
      sums.lost += verdict.lost.length;
      sums.duplicates += allowed;
      sums.forbiddenDuplicates += verdict.duplicates.length - allowed;
      sums.overlaps += verdict.overlaps;
      gapsMs.push(...verdict.changes.flatMap(({ gapMs }) => (gapMs === null ? [] : [gapMs])));
    }
    return { ...sums, gapsMs };
  }

  private publish(index: number): void {
    const queue = index % this.queues.length;
    const seq = queue * numbersPerQueue + Math.floor(index / this.queues.length) + 1;
    this.unconfirmed++;
    const body = Buffer.from(JSON.stringify({ seq }));
    const options = { persistent: true, messageId: String(seq), contentType: 'application/json' };
    this.channel.sendToQueue(this.queues[queue]!, body, options, (error: unknown) => {
      this.unconfirmed--;
      if (!error) this.published[queue]!.add(seq);
    });
  }
}

function byQueue(records: LedgerRecord[]): Map<number, LedgerRecord[]> {
  const found = new Map<number, LedgerRecord[]>();
  for (const record of records) {
    const queue = Math.floor(record.seq / numbersPerQueue);
    const known = found.get(queue);
    if (known) known.push(record);
    else found.set(queue, [record]);
  }
  return found;
}
