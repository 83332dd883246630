/**
 * The demo's ledger: what the handlers of all processes did, as they wrote it themselves. One file per process,
 * `<pod>-<pid>.ndjson`, one line and one write per event, so that a SIGKILL loses at most what is in flight.
 */
import { closeSync, openSync, readdirSync, readSync, writeSync } from 'node:fs';
import { join } from 'node:path';

/** One line. `t` is `process.hrtime.bigint()`: one clock for all processes of a machine. */
export interface LedgerRecord {
  /** `fail`: the handler rejected, and the message comes again. */
  event: 'start' | 'end' | 'fail';
  seq: number;
  token: number;
  region: string;
  pod: string;
  t: bigint;
  /** Wall clock in ms, to match other logs; nothing is decided by it. */
  wall: number;
}

/** Everything that one process wrote, in the order in which it wrote it. */
export interface LedgerProcess {
  pid: number;
  records: LedgerRecord[];
}

export class LedgerWriter {
  private readonly fd: number;

  constructor(folder: string, pod: string) {
    this.fd = openSync(join(folder, `${pod}-${process.pid}.ndjson`), 'a');
  }

  /** Synchronous: when it returns, the line survives this process. */
  write(record: LedgerRecord): void {
    const { event, seq, token, region, pod, t, wall } = record;
    writeSync(this.fd, `${JSON.stringify({ e: event, seq, token, region, pod, t: String(t), wall })}\n`);
  }
}

const CHUNK_BYTES = 1 << 18;

/** Reads what was appended since the last time, in all files of the folder, also new ones. */
export class LedgerReader {
  private readonly files = new Map<string, { pid: number; fd: number; offset: number; rest: string }>();
  private readonly buffer = Buffer.alloc(CHUNK_BYTES);

  constructor(private readonly folder: string) {}

  /**
   * The new records, per process. A last line without its newline is kept for the next time: its process is
   * just writing it, or was killed while doing so.
   */
  poll(): LedgerProcess[] {
    for (const name of readdirSync(this.folder)) {
      const pid = /-(\d+)\.ndjson$/.exec(name)?.[1];
      if (pid === undefined || this.files.has(name)) continue;
      const fd = openSync(join(this.folder, name), 'r');
      this.files.set(name, { pid: Number(pid), fd, offset: 0, rest: '' });
    }
    const news: LedgerProcess[] = [];
    for (const file of this.files.values()) {
      const records: LedgerRecord[] = [];
      for (;;) {
        const bytes = readSync(file.fd, this.buffer, 0, CHUNK_BYTES, file.offset);
        if (bytes === 0) break;
        file.offset += bytes;
        const lines = (file.rest + this.buffer.toString('latin1', 0, bytes)).split('\n');
        file.rest = lines.pop() ?? '';
        for (const line of lines) records.push(parseRecord(line));
      }
      if (records.length > 0) news.push({ pid: file.pid, records });
    }
    return news;
  }

  close(): void {
    for (const { fd } of this.files.values()) closeSync(fd);
    this.files.clear();
  }
}

export function readLedger(folder: string): LedgerProcess[] {
  const reader = new LedgerReader(folder);
  try {
    return reader.poll();
  } finally {
    reader.close();
  }
}

function parseRecord(line: string): LedgerRecord {
  const { e, seq, token, region, pod, t, wall } = JSON.parse(line) as Record<string, unknown>;
  if (
    (e !== 'start' && e !== 'end' && e !== 'fail') ||
    typeof seq !== 'number' ||
    typeof token !== 'number'
  ) {
    throw new Error(`not a ledger line: ${line}`);
  }
  return {
    event: e,
    seq,
    token,
    region: String(region),
    pod: String(pod),
    t: BigInt(String(t)),
    wall: Number(wall),
  };
}
