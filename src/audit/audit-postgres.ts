import { createHash, randomUUID } from 'node:crypto';
import type { Client } from 'pg';
import { maskSecrets } from '../config/secret';
import { type AuditEntry, type AuditEvent, type AuditRecord, firstPrevious, hashOf } from './audit-entry';
import { auditTable, beginAppend, hasAuditTable, openAuditClient } from './audit-table';

const maxWaiting = 10_000;
/** Entries of one transaction. */
const batchSize = 100;
const firstRetryMs = 500;
const maxRetryMs = 30_000;
/** A pod that is frozen in its transaction keeps the others waiting so long at most. */
const idleLimitMs = 5_000;

export interface AuditPostgresOptions {
  url: string;
  region: string;
  pod: string;
  version: string;
  /** Told once for each stretch in which nothing could be written, in one sentence. */
  onProblem: (problem: string) => void;
  /** What must be on record by now, each from its own source, oldest first: etcd's receipts of each lock. */
  known: () => (() => Promise<AuditEvent[]>)[];
}

/** An event on its way, under an id by which it is written once. */
interface Waiting {
  id: string;
  at: string;
  event: AuditEvent;
}

/**
 * Appends entries to one table that all pods share, in one chain: a lock in the database lets one pod append at a time.
 * `append` returns at once and never throws. What could not be written is tried again, with growing pauses; after each
 * outage, and after each start, the receipts that etcd still has are compared with the table and what is missing is added.
 */
export class AuditPostgres implements AuditRecord {
  private readonly waiting: Waiting[] = [];
  private client: Client | null = null;
  private working: Promise<void> | null = null;
  private retry: NodeJS.Timeout | null = null;
  private retryMs = firstRetryMs;
  private failing = false;
  private closed = false;
  /** Still to be compared with the table. */
  private unread: (() => Promise<AuditEvent[]>)[] = [];
  private lost = 0;

  constructor(private readonly options: AuditPostgresOptions) {
    this.append({ kind: 'opened', version: options.version });
  }

  append(event: AuditEvent): void {
    if (this.waiting.length >= maxWaiting) {
      this.lost += 1;
      return this.fail(`${this.lost} entries were dropped, as ${maxWaiting} are waiting`);
    }
    this.waiting.push(asWaiting(event));
    // Between two tries, the next one takes it along.
    if (!this.failing || !this.retry) this.work();
  }

  /** Resolves when everything has been written, or could not be. Idempotent. */
  async close(): Promise<void> {
    this.closed = true;
    if (this.retry) clearTimeout(this.retry);
    this.retry = null;
    if (this.waiting.length > 0) this.work();
    await this.working;
    await this.client?.end().catch(() => undefined);
    this.client = null;
  }

  private work(): void {
    this.working ??= this.writeAll().finally(() => {
      this.working = null;
      if (this.waiting.length > 0 && !this.retry && !this.failing) this.work();
    });
  }

  private async writeAll(): Promise<void> {
    try {
      const client = (this.client ??= await this.open());
      await this.readUnread(client);
      while (this.waiting.length > 0) {
        const batch = this.waiting.slice(0, batchSize);
        await this.write(client, batch);
        this.waiting.splice(0, batch.length);
      }
      this.failing = false;
      this.retryMs = firstRetryMs;
      // etcd did not answer, or receipts were among the dropped ones.
      if (this.lost > 0) this.unread = this.options.known();
      this.lost = 0;
      if (this.unread.length > 0) this.tryLater();
    } catch (error) {
      const client = this.client;
      this.client = null;
      void client?.end().catch(() => undefined);
      this.fail((error as Error).message || String(error));
      this.tryLater();
    }
  }

  private tryLater(): void {
    if (this.closed || this.retry) return;
    this.retry = setTimeout(() => {
      this.retry = null;
      this.work();
    }, this.retryMs);
    this.retry.unref();
    this.retryMs = Math.min(this.retryMs * 2, maxRetryMs);
  }

  private async open(): Promise<Client> {
    const client = openAuditClient(this.options.url);
    // A connection may break at any time; without a listener that would end the process.
    client.on('error', () => {
      if (this.client === client) this.client = null;
    });
    await client.connect();
    try {
      if (!(await hasAuditTable(client)))
        await inTransaction(client, async () => {
          await client.query(auditTable);
        });
      this.unread = this.options.known();
      return client;
    } catch (error) {
      await client.end().catch(() => undefined);
      throw error;
    }
  }

  /** What is missing from the table goes before what waits: it is older. */
  private async readUnread(client: Client): Promise<void> {
    const sources = this.unread;
    this.unread = [];
    for (const source of sources) {
      let events: AuditEvent[];
      try {
        events = await source();
      } catch {
        // etcd is away: what waits must not wait for it, too.
        this.unread.push(source);
        continue;
      }
      const missing = await unwritten(client, events.map(asWaiting));
      for (let from = 0; from < missing.length; from += batchSize)
        await this.write(client, missing.slice(from, from + batchSize));
    }
  }

  private write(client: Client, batch: Waiting[]): Promise<void> {
    const { region, pod } = this.options;
    return inTransaction(client, async () => {
      // Also when the answer to an earlier try was lost, or another pod has told of the same receipt.
      const missing = await unwritten(client, batch);
      const { rows } = await client.query<{ entry: string }>(
        'SELECT entry FROM baton_audit ORDER BY seq DESC LIMIT 1',
      );
      const last = rows[0]?.entry;
      let previous = last === undefined ? firstPrevious : hashOf(last);
      let seq = last === undefined ? 0 : (JSON.parse(last) as AuditEntry).seq;
      const lines = missing.map(({ id, at, event }) => {
        seq += 1;
        const entry: AuditEntry = { seq, id, at, region, pod, event, previous };
        const line = JSON.stringify(entry);
        previous = hashOf(line);
        return line;
      });
      if (lines.length > 0)
        await client.query('INSERT INTO baton_audit (entry) SELECT unnest($1::text[])', [lines]);
    });
  }

  private fail(why: string): void {
    if (!this.failing) this.options.onProblem(`the audit record is not written: ${maskSecrets(why)}`);
    this.failing = true;
  }
}

/** A receipt is told by every pod that sees it, and stands there once in each of its states. */
function asWaiting(event: AuditEvent): Waiting {
  const at = new Date().toISOString();
  if (event.kind !== 'receipt') return { id: randomUUID(), at, event };
  const digest = createHash('sha256').update(JSON.stringify(event.receipt)).digest('hex');
  return { id: `${event.lock}/${event.receipt.id}/${digest.slice(0, 16)}`, at, event };
}

async function unwritten(client: Client, events: Waiting[]): Promise<Waiting[]> {
  const ids = events.map(({ id }) => id);
  const { rows } = await client.query<{ id: string }>('SELECT id FROM baton_audit WHERE id = ANY ($1)', [
    ids,
  ]);
  const known = new Set(rows.map(({ id }) => id));
  // Twice in one batch is once, too.
  return events.filter(({ id }) => !known.has(id) && known.add(id));
}

/** Alone among all pods. */
async function inTransaction(client: Client, work: () => Promise<void>): Promise<void> {
  await client.query(beginAppend(idleLimitMs));
  try {
    await work();
    await client.query('COMMIT');
  } catch (error) {
    await client.query('ROLLBACK').catch(() => undefined);
    throw error;
  }
}
