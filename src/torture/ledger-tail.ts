import { closeSync, openSync, readdirSync, readSync } from 'node:fs';
import { join } from 'node:path';

const chunkBytes = 1 << 18;

interface Entry {
  event: 'start' | 'end';
  lock: string;
  id: string;
  token: number;
  /** Monotonic, in ns. */
  at: string;
  outcome?: string;
}

type Refusal = Pick<Entry, 'lock' | 'id' | 'token' | 'at'>;

/**
 * Follows the ledgers while a run goes on, only to know how far it is: what is right and wrong is the checker's.
 */
export class LedgerTail {
  /** Messages whose handler succeeded at least once. */
  readonly finished = new Set<string>();
  /** Writes that the store refused because of their token. */
  readonly refused: Refusal[] = [];
  /** Monotonic time of the last reading that had news, in ms; 0 before the first. */
  lastNewsAtMs = 0;
  private readonly files = new Map<string, { fd: number; offset: number; rest: string }>();
  private readonly buffer = Buffer.alloc(chunkBytes);

  constructor(private readonly folder: string) {}

  read(): void {
    for (const name of readdirSync(this.folder))
      if (!this.files.has(name))
        this.files.set(name, { fd: openSync(join(this.folder, name), 'r'), offset: 0, rest: '' });
    for (const file of this.files.values()) {
      for (;;) {
        const bytes = readSync(file.fd, this.buffer, 0, chunkBytes, file.offset);
        if (bytes === 0) break;
        file.offset += bytes;
        const lines = (file.rest + this.buffer.toString('latin1', 0, bytes)).split('\n');
        // A last line without its newline is just being written, or was cut off by a kill.
        file.rest = lines.pop() ?? '';
        for (const line of lines) this.take(JSON.parse(line) as Entry);
      }
    }
  }

  /** Idempotent. */
  close(): void {
    for (const { fd } of this.files.values()) closeSync(fd);
    this.files.clear();
  }

  private take({ event, lock, id, token, at, outcome }: Entry): void {
    if (outcome === 'refused') this.refused.push({ lock, id, token, at });
    if (event !== 'end' || outcome !== 'ok') return;
    this.finished.add(id);
    this.lastNewsAtMs = performance.now();
  }
}
