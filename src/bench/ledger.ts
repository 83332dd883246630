import { closeSync, existsSync, openSync, readSync } from 'node:fs';
import type { LedgerEntry } from './contender';

/** Between the contender's name and what tells its processes apart, where it has several. */
export const processMark = '#';
/** The body of a message that blocks Baton's handler; see ledger-handler.ts. */
export const blockBody = 'block';

/** A line of the ledger. `process` is the name as written, `contender` without its process. */
export interface BenchEntry extends LedgerEntry {
  process: string;
}

const chunkBytes = 1 << 18;

/** Reads what the contenders of one system appended to their common ledger. */
export class BenchLedger {
  /** Everything read so far, in the order of the file. */
  readonly entries: BenchEntry[] = [];
  /** Messages that were finished at least once. */
  readonly finished = new Set<number>();
  private fd: number | undefined;
  private offset = 0;
  private rest = '';

  constructor(private readonly file: string) {}

  /** Reads on; cheap when nothing was written. Returns all entries. */
  read(): BenchEntry[] {
    if (this.fd === undefined) {
      if (!existsSync(this.file)) return this.entries;
      this.fd = openSync(this.file, 'r');
    }
    const buffer = Buffer.allocUnsafe(chunkBytes);
    for (;;) {
      const bytes = readSync(this.fd, buffer, 0, chunkBytes, this.offset);
      if (bytes === 0) return this.entries;
      this.offset += bytes;
      const lines = (this.rest + buffer.toString('latin1', 0, bytes)).split('\n');
      // Somebody is just writing it.
      this.rest = lines.pop() ?? '';
      for (const line of lines) {
        const entry = parseEntry(line);
        this.entries.push(entry);
        this.finished.add(entry.seq);
      }
    }
  }

  close(): void {
    if (this.fd !== undefined) closeSync(this.fd);
    this.fd = undefined;
  }
}

/** @throws Error when the line is not `SEQ NAME START END`. */
export function parseEntry(line: string): BenchEntry {
  const found = /^(\d+) (.+) (\d+) (\d+)$/.exec(line);
  if (!found) throw new Error(`not a line of the bench's ledger: ${line}`);
  const [, seq, process = '', start = '', end = ''] = found;
  const contender = process.split(processMark, 1)[0] ?? process;
  return { seq: Number(seq), contender, process, startNs: BigInt(start), endNs: BigInt(end) };
}
