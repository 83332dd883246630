import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';
import { Readable } from 'node:stream';
import { type AuditEntry, firstPrevious, hashOf } from './audit-entry';

export interface AuditVerdict {
  /** The first problem, which names its line; `null`: the chain is whole. */
  problem: string | null;
  lines: number;
  /** Lines that a crash has cut off, and that their successor vouches for. */
  cutOff: number[];
  /** Hash of the last line: noted elsewhere, it shows later that none was taken off the end. */
  head: string;
  last: { seq: number; at: string } | null;
}

/**
 * Reads a record from its beginning. A line that was changed, taken out, put in or moved breaks the chain at its
 * successor; what follows cannot be judged. `head`: a line with this hash must be there.
 */
export function verifyAudit(file: string, head?: string): Promise<AuditVerdict> {
  const lines = createInterface({ input: Readable.from(untilEndlessLine(file)), crlfDelay: 0 });
  return verifyEntries(lines, head).finally(() => lines.close());
}

/** The same for entries that come from elsewhere; `line` says what one of them is called. */
export async function verifyEntries(
  lines: AsyncIterable<string>,
  head?: string,
  line = 'line',
): Promise<AuditVerdict> {
  const verdict: AuditVerdict = { problem: null, lines: 0, cutOff: [], head: firstPrevious, last: null };
  let headSeen = head === undefined || head === firstPrevious;
  /** A line that cannot be read, until the next one has told that it was cut off. */
  let unread: number | null = null;
  let seq = 0;
  for await (const text of lines) {
    verdict.lines += 1;
    seq += 1;
    const number = verdict.lines;
    const entry = readEntry(text);
    const problem = entry
      ? problemOf(entry, { line, number, seq, before: verdict.head, unread })
      : unread === null
        ? null
        : `${line} ${unread} is not an audit entry`;
    if (problem !== null) return { ...verdict, problem };
    if (entry && unread !== null) verdict.cutOff.push(unread);
    unread = entry ? null : number;
    verdict.head = hashOf(text);
    if (verdict.head === head) headSeen = true;
    if (entry) verdict.last = { seq: entry.seq, at: entry.at };
  }
  if (unread !== null) return { ...verdict, problem: `${line} ${unread} is not an audit entry` };
  if (!headSeen)
    return {
      ...verdict,
      problem: `no ${line} has the hash ${head}: ${line}s were changed, or taken off the end`,
    };
  return verdict;
}

/** No entry comes near this; what goes on for longer is none, and no string could hold it. */
const maxLineBytes = 4 * 1024 * 1024;

/** Ends within the first line that is too long, so that this one cannot be read. */
async function* untilEndlessLine(file: string): AsyncGenerator<Buffer> {
  let lineBytes = 0;
  for await (const part of createReadStream(file) as AsyncIterable<Buffer>) {
    yield part;
    const end = part.lastIndexOf(10);
    lineBytes = end < 0 ? lineBytes + part.length : part.length - end - 1;
    if (lineBytes > maxLineBytes) return;
  }
}

const isObject = (value: unknown): boolean => typeof value === 'object' && value !== null;

function readEntry(line: string): AuditEntry | null {
  try {
    const entry = JSON.parse(line) as Partial<AuditEntry> | null;
    const isEntry =
      typeof entry?.seq === 'number' && typeof entry.previous === 'string' && isObject(entry.event);
    return isEntry ? (entry as AuditEntry) : null;
  } catch {
    // Cut off, or not ours: the next line decides.
    return null;
  }
}

function problemOf(
  { seq, previous, event }: AuditEntry,
  at: { line: string; number: number; seq: number; before: string; unread: number | null },
): string | null {
  const { line, number, before, unread } = at;
  if (seq > at.seq) return `${line} ${number} is entry ${seq}: ${missing(at.seq, seq - 1)} before it`;
  if (seq < at.seq)
    return `${line} ${number} is entry ${seq}, which stands at another place: expected ${at.seq}`;
  if (previous !== before)
    return number === 1
      ? `${line} 1 is not the first of its record: ${line}s before it are missing`
      : `${line} ${number - 1} was changed: ${line} ${number} holds another hash of it`;
  if (unread !== null && !(event.kind === 'opened' && event.cutOff === before))
    return `${line} ${unread} is not an audit entry`;
  return null;
}

const missing = (from: number, to: number): string =>
  from === to ? `entry ${from} is missing` : `entries ${from} to ${to} are missing`;
