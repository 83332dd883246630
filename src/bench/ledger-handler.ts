/**
 * Baton's handler in the bench. It does what the peers' handlers do, and no more: one line and one write per
 * message into the ledger that all contenders of the system share.
 *
 * The name in the line is `POD#PID`: the process tells a listener from its successor in the same pod.
 * The body `block` is the fault: its first delivery keeps the processor busy for ever; delivered again, it is done.
 */
import { openSync, writeSync } from 'node:fs';
import type { Handler } from '../listener/handler';
import { blockBody, processMark } from './ledger';

const fd = openSync(process.env['BATON_BENCH_LEDGER'] ?? '/dev/null', 'a');
/** The pod's own name, without the boot id that each start adds. */
const name = `${process.env['BATON_BENCH_POD'] ?? '?'}${processMark}${process.pid}`;

export const handle: Handler = (message, { redeliveries }) => {
  const start = process.hrtime.bigint();
  const body = message.body.toString('latin1');
  if (body === blockBody) {
    if (redeliveries === 0) for (;;);
    return;
  }
  writeSync(fd, `${body} ${name} ${start} ${process.hrtime.bigint()}\n`);
};
