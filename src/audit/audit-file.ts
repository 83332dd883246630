import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { mkdir, open, type FileHandle } from 'node:fs/promises';
import { dirname } from 'node:path';
import { type AuditEntry, type AuditEvent, type AuditRecord, firstPrevious, hashOf } from './audit-entry';

/** A line is a receipt and a few words: what is longer than this is not one of ours. */
const maxLineBytes = 1_000_000;
const maxWaiting = 10_000;

export interface AuditFileOptions {
  file: string;
  region: string;
  pod: string;
  version: string;
  /** Told once for each stretch in which nothing could be written, in one sentence. */
  onProblem: (problem: string) => void;
}

/**
 * Appends entries to one file, in their order, each with the hash of the line before, and makes sure of each on disk.
 * `append` returns at once and never throws: a full disk stops the record, not the messages. A file is written by one
 * pod at a time; it goes on where its former boot has ended.
 */
export class AuditFile implements AuditRecord {
  private readonly waiting: AuditEvent[] = [];
  private working: Promise<void> | null = null;
  private handle: FileHandle | null = null;
  private seq = 0;
  private previous = firstPrevious;
  private size = 0;
  private failing = false;
  private lost = 0;

  constructor(private readonly options: AuditFileOptions) {}

  append(event: AuditEvent): void {
    if (this.waiting.length >= maxWaiting) {
      this.lost += 1;
      return this.fail(`${this.lost} entries were dropped, as ${maxWaiting} are waiting`);
    }
    this.waiting.push(event);
    this.work();
  }

  /** Resolves when everything has been written, or could not be. Idempotent. */
  async close(): Promise<void> {
    await this.working;
    await this.handle?.close();
    this.handle = null;
  }

  private work(): void {
    this.working ??= this.writeAll().finally(() => {
      this.working = null;
    });
  }

  private async writeAll(): Promise<void> {
    for (let event = this.waiting[0]; event; event = this.waiting[0]) {
      try {
        this.handle ??= await this.open();
        await this.write(this.handle, event);
        this.waiting.shift();
        this.failing = false;
      } catch (error) {
        // What waits is tried again with the next entry.
        await this.handle?.close().catch(() => undefined);
        this.handle = null;
        return this.fail((error as Error).message);
      }
    }
  }

  private async open(): Promise<FileHandle> {
    const { file, version } = this.options;
    await mkdir(dirname(file), { recursive: true });
    const handle = await open(file, 'a+', 0o640);
    try {
      const end = readEnd(file);
      this.seq = end.seq;
      this.previous = end.previous;
      this.size = end.size;
      if (end.cutOff !== undefined) {
        await handle.appendFile('\n');
        this.size += 1;
      }
      const cutOff = end.cutOff === undefined ? {} : { cutOff: end.cutOff };
      await this.write(handle, { kind: 'opened', version, ...cutOff });
      return handle;
    } catch (error) {
      await handle.close();
      throw error;
    }
  }

  private async write(handle: FileHandle, event: AuditEvent): Promise<void> {
    const { region, pod, file } = this.options;
    const { size } = await handle.stat();
    if (size !== this.size)
      throw new Error(
        `${file} has ${size} bytes and not ${this.size}: somebody else writes to it; give each pod a file of its own ({pod} in audit.file)`,
      );
    const entry: AuditEntry = {
      seq: this.seq + 1,
      at: new Date().toISOString(),
      region,
      pod,
      event,
      previous: this.previous,
    };
    const line = JSON.stringify(entry);
    await handle.appendFile(`${line}\n`);
    await handle.datasync();
    this.seq = entry.seq;
    this.previous = hashOf(line);
    this.size += Buffer.byteLength(line) + 1;
  }

  private fail(why: string): void {
    if (!this.failing) this.options.onProblem(`the audit record is not written: ${why}`);
    this.failing = true;
  }
}

interface End {
  seq: number;
  previous: string;
  size: number;
  /** Hash of a last line without its end: a crash has cut it off. */
  cutOff?: string;
}

/** Where a file goes on. @throws Error when its last whole line is none of ours. */
function readEnd(file: string): End {
  const fd = openSync(file, 'r');
  try {
    const { size } = fstatSync(fd);
    if (size === 0) return { seq: 0, previous: firstPrevious, size };
    const length = Math.min(size, 2 * maxLineBytes);
    const tail = Buffer.alloc(length);
    readSync(fd, tail, 0, length, size - length);
    const lines = tail.toString('utf8').split('\n');
    const rest = lines.pop() ?? '';
    const last = lines.at(-1);
    if (rest === '') return { ...after(last ?? '', file), size };
    const before = last === undefined ? { seq: 0, previous: firstPrevious } : after(last, file);
    // The line that was cut off has its place in the chain.
    return { seq: before.seq + 1, previous: hashOf(rest), size, cutOff: hashOf(rest) };
  } finally {
    closeSync(fd);
  }
}

function after(line: string, file: string): { seq: number; previous: string } {
  try {
    const { seq, event } = JSON.parse(line) as Partial<AuditEntry>;
    if (Number.isSafeInteger(seq) && event) return { seq: seq as number, previous: hashOf(line) };
  } catch {
    // Said below.
  }
  throw new Error(`the last line of ${file} is not an audit entry: see baton audit verify`);
}
