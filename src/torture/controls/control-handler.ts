/**
 * The handler of the controls: notes begin and end of each message in the run folder's form. What it does in between
 * stands in the message.
 */
import { openSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Handler, HandlerContext } from '../../listener/handler';

export interface ControlMessage {
  id: string;
  /** - `short`: some ms; `long`: so many ms when delivered first, heeding no signal; `store`: a write to the store. */
  work: 'short' | 'long' | 'store';
  longMs?: number;
}

/** Where the ledger goes, and the store's address. */
export const environmentOf = (ledgerFolder: string, storeUrl: string) => ({
  BATON_CONTROL_LEDGER: ledgerFolder,
  BATON_CONTROL_STORE: storeUrl,
});

/** The broker delivers faster, so that in a burst messages always wait in the listener. */
const shortMs = 10;

let fd: number | undefined;

export const handle: Handler = async (message, context) => {
  const { id, work, longMs } = JSON.parse(message.body.toString()) as ControlMessage;
  note(context, { event: 'start', id });
  let outcome = 'threw';
  try {
    if (work === 'long' && context.redeliveries === 0) await sleep(longMs);
    else await sleep(shortMs + Math.random() * shortMs);
    if (work === 'store') await write(id, context);
    outcome = 'ok';
  } finally {
    note(context, { event: 'end', id, outcome });
  }
};

async function write(id: string, { lock, token }: HandlerContext): Promise<void> {
  const response = await fetch(process.env['BATON_CONTROL_STORE']!, {
    method: 'POST',
    body: JSON.stringify({ lock, id, token }),
  });
  await response.arrayBuffer();
  if (!response.ok) throw new Error(`the store refused token ${token}`);
}

/** Synchronous: when it returns, the line survives this process. */
function note(
  { lock, token, region, pod, redeliveries }: HandlerContext,
  what: { event: 'start' | 'end'; id: string; outcome?: string },
): void {
  fd ??= openSync(join(process.env['BATON_CONTROL_LEDGER']!, `${pod}-${process.pid}.jsonl`), 'a');
  const at = String(process.hrtime.bigint());
  const line = { ...what, lock, token, region, pod, pid: process.pid, at, redelivered: redeliveries > 0 };
  writeSync(fd, `${JSON.stringify(line)}\n`);
}
