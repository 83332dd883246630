/** The demo's handler: notes in the ledger when it began and ended each numbered message, and waits in between. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Handler } from '../listener/handler';
import { LedgerWriter } from './ledger';

/** Folder of the ledger. Without it the handler only waits. */
const ledgerFolder = process.env['BATON_DEMO_LEDGER'];

let writer: LedgerWriter | undefined;

export const handle: Handler = async (message, { token, region, pod }) => {
  const { seq } = JSON.parse(message.body.toString()) as { seq?: unknown };
  if (typeof seq !== 'number') throw new Error(`not a message of the demo: ${message.body.toString()}`);
  const note = (event: 'start' | 'end'): void => {
    if (!ledgerFolder) return;
    writer ??= new LedgerWriter(ledgerFolder, pod);
    writer.write({ event, seq, token, region, pod, t: process.hrtime.bigint(), wall: Date.now() });
  };
  note('start');
  await sleep(1 + Math.random() * 2);
  note('end');
};
