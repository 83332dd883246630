import { appendFile, mkdir, readFile } from 'node:fs/promises';
import { dirname } from 'node:path';

export interface Order {
  id: string;
  pieces: number;
}

interface Entry {
  order: Order;
  token: number;
}

/**
 * Where the orders go: one line each, in one file. Put your own store here.
 *
 * Two things must stay true of it, whatever it is:
 * - An order that comes twice has its effect once. After a crash the messages in flight are delivered again.
 * - What a stale region writes has no effect. Each tenure has a token that only grows, and a lower one than the
 *   highest so far is refused. No lock can do that for a machine that was frozen and thawed: only the store can.
 *
 * Here the file's order decides both, when it is read. For PostgreSQL both are ready: docs/fencing.md of baton.
 */
export class OrderJournal {
  readonly #file: string;

  constructor(file: string) {
    this.#file = file;
  }

  async append(order: Order, token: number): Promise<void> {
    await mkdir(dirname(this.#file), { recursive: true });
    await appendFile(this.#file, `${JSON.stringify({ order, token })}\n`);
  }

  /** The orders that count, in the order in which they were written. */
  async orders(): Promise<Order[]> {
    const known = new Map<string, Order>();
    let highest = 0;
    for (const { order, token } of await this.#entries()) {
      if (token < highest) continue;
      highest = token;
      if (!known.has(order.id)) known.set(order.id, order);
    }
    return [...known.values()];
  }

  async #entries(): Promise<Entry[]> {
    // One write per line: a process that is killed leaves a whole line, or none.
    const lines = (await readFile(this.#file, 'utf8')).split('\n').filter((line) => line !== '');
    return lines.map((line) => JSON.parse(line) as Entry);
  }
}

export const journal = new OrderJournal(process.env['ORDERS_FILE'] ?? 'data/orders.ndjson');
