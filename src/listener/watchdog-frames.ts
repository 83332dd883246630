import { StringDecoder } from 'node:string_decoder';

/** What the watchdog is told, one JSON document per line. BigInts travel as decimal strings. */
export type WatchdogFrame =
  | { set: { lock: string; token: number; deadlineNs: string; marginMs: number } }
  | { clear: { lock: string } };

export interface WatchdogDeadline {
  lock: string;
  token: number;
  deadlineNs: bigint;
  /** More than half of it between the monotonic clock and the uptime ends the tenure. */
  marginMs: number;
}

/** A tenure begins, or its deadline has moved. Write it before the message over IPC that says the same. */
export function encodeSet({ lock, token, deadlineNs, marginMs }: WatchdogDeadline): string {
  const frame: WatchdogFrame = { set: { lock, token, deadlineNs: String(deadlineNs), marginMs } };
  return `${JSON.stringify(frame)}\n`;
}

/** The tenure is over and the process goes on. */
export function encodeClear(lock: string): string {
  const frame: WatchdogFrame = { clear: { lock } };
  return `${JSON.stringify(frame)}\n`;
}

/** Puts lines together from the pieces in which a pipe delivers them, also when a character is split. */
export class FrameReader {
  private readonly decoder = new StringDecoder('utf8');
  private rest = '';

  /** @throws SyntaxError when a whole line is not JSON. */
  push(chunk: Buffer): WatchdogFrame[] {
    const lines = (this.rest + this.decoder.write(chunk)).split('\n');
    this.rest = lines.pop() ?? '';
    return lines.filter((line) => line !== '').map((line) => JSON.parse(line) as WatchdogFrame);
  }
}
