/**
 * The handler of the throughput bench, the same in every system: notes when each message was sent and started,
 * and writes the notes of a round to a file when its last message has been started.
 */
import { renameSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

/** Where a message belongs. It is all the handler is told: Baton hands nothing but the message to it. */
export interface RoundMark {
  round: number;
  /** Messages of this round. */
  total: number;
  /** `monotonicMs()`. */
  sentAt: number;
}

/** As of one message; times are `monotonicMs()`. */
export interface RoundNote {
  sentAt: number;
  startedAt: number;
}

export const bodyBytes = 256;

/** One clock for all processes of the machine. */
export const monotonicMs = (): number => Number(process.hrtime.bigint()) / 1e6;

export function encodeMark({ round, total, sentAt }: RoundMark): Buffer {
  const body = Buffer.alloc(bodyBytes);
  body.writeUInt32LE(round, 0);
  body.writeUInt32LE(total, 4);
  body.writeDoubleLE(sentAt, 8);
  return body;
}

export const roundFile = (folder: string, round: number): string => `${folder}/round-${round}`;

export function decodeNotes(bytes: Buffer): RoundNote[] {
  return Array.from({ length: bytes.length / 16 }, (_, index) => ({
    sentAt: bytes.readDoubleLE(index * 16),
    startedAt: bytes.readDoubleLE(index * 16 + 8),
  }));
}

/** `waitMs`: how long each call takes; 0 for one that has nothing to wait for. */
export function handlerOf(folder: string, waitMs: number): (message: { body: Buffer }) => Promise<void> {
  let round = 0;
  let handled = 0;
  let notes = new Float64Array(0);
  return async ({ body }) => {
    const startedAt = monotonicMs();
    if (body.readUInt32LE(0) !== round) {
      round = body.readUInt32LE(0);
      handled = 0;
      notes = new Float64Array(2 * body.readUInt32LE(4));
    }
    notes[2 * handled] = body.readDoubleLE(8);
    notes[2 * handled + 1] = startedAt;
    handled += 1;
    if (2 * handled === notes.length) {
      const file = roundFile(folder, round);
      writeFileSync(`${file}.part`, notes);
      renameSync(`${file}.part`, file);
    }
    if (waitMs > 0) await sleep(waitMs);
  };
}
