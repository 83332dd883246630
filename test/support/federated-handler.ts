/** The ledger handler, which also notes the messages that a federation link has moved. */
import { appendFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Handler } from '../../src/listener/handler';
import { handle as work } from './ledger-handler';

const ledgerFolder = process.env['BATON_DEMO_LEDGER'] ?? '';

/** Beside the ledger: the sequence numbers of moved messages, one a line, of all listeners. */
export const movedFile = (ledger: string): string => join(dirname(ledger), 'moved.txt');

export const handle: Handler = async (message, context) => {
  if (message.headers['x-received-from'] !== undefined) {
    const { seq } = JSON.parse(message.body.toString()) as { seq: number };
    appendFileSync(movedFile(ledgerFolder), `${seq}\n`);
  }
  await work(message, context);
};
