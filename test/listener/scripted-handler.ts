/**
 * A handler that does what its messages say and notes when each began and ended, as JSON lines in the file
 * named by BATON_TEST_LOG.
 */
import { appendFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Handler } from '../../src/listener/handler';

export interface Order {
  id: number;
  /** ms to wait. */
  waitMs?: number;
  /** ms to wait unless the AbortSignal fires. */
  patienceMs?: number;
  /** ms to compute without yielding. */
  blockMs?: number;
  throws?: boolean;
  exits?: boolean;
}

export interface Note extends Order {
  event: 'start' | 'end' | 'aborted';
  at: number;
  token: number;
  pid: number;
  redeliveries: number;
}

const log = process.env['BATON_TEST_LOG'];

export const handle: Handler = async (message, { token, redeliveries, signal }) => {
  const order = JSON.parse(message.body.toString()) as Order;
  const note = (event: Note['event']): void => {
    const line: Note = { ...order, event, at: Date.now(), token, pid: process.pid, redeliveries };
    if (log) appendFileSync(log, `${JSON.stringify(line)}\n`);
  };
  note('start');
  signal.addEventListener('abort', () => note('aborted'));
  if (order.exits) process.exit(3);
  if (order.blockMs) for (const until = performance.now() + order.blockMs; performance.now() < until;);
  if (order.waitMs) await sleep(order.waitMs);
  if (order.patienceMs) await sleep(order.patienceMs, undefined, { signal });
  if (order.throws) throw new Error(`order ${order.id} cannot be done`);
  note('end');
};
