/** Runs the handler under test, and notes in the ledger when each numbered message began, and when and how it ended. */
import type { Handler } from '../listener/handler';
import { loadHandler } from '../listener/handler-module';
import { type LedgerRecord, LedgerWriter } from '../demo/ledger';
import { handlerVariable, ledgerVariable } from './test-config';

// At once, as the listener would have loaded it: one that cannot be loaded ends the process, with the reason.
const loading = loadHandler('test', process.env[handlerVariable] ?? '');

let writer: LedgerWriter | undefined;

export const handle: Handler = async (message, context) => {
  const underTest = await loading;
  const seq = Number(message.messageId);
  const note = (event: LedgerRecord['event']): void => {
    // Somebody else's message: worked on, and not judged.
    if (!Number.isSafeInteger(seq)) return;
    const { token, region, pod } = context;
    writer ??= new LedgerWriter(process.env[ledgerVariable] ?? '.', pod);
    writer.write({ event, seq, token, region, pod, t: process.hrtime.bigint(), wall: Date.now() });
  };
  note('start');
  try {
    await underTest(message, context);
  } catch (error) {
    note('fail');
    throw error;
  }
  note('end');
};
