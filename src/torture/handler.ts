/**
 * The handler of the tortured system: notes when it began and ended each message, synchronously, in a file of its
 * process, writes it to a store that checks the token, and misbehaves where the message says so.
 */
import { openSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Pool } from 'pg';
import { recordEffect } from '../dev/effect-sink';
import type { Handler, HandlerContext } from '../listener/handler';
import { StaleTokenError } from '../postgres';

export const behaviours = ['throw', 'hang', 'block', 'leak', 'exit', 'slow'] as const;
export type Behaviour = (typeof behaviours)[number];

/** Longer than the drain limit. A promise that never settles would hold its message until the pod ends. */
const hangMs = 12_000;
const slowMs = 8_000;
const throwsBefore = 2;

export interface TortureMessage {
  id: string;
  behave?: Behaviour;
}

let fd: number | undefined;
let pool: Pool | undefined;

export const handle: Handler = async (message, context) => {
  const { id, behave } = JSON.parse(message.body.toString()) as TortureMessage;
  note(context, { event: 'start', id });
  let outcome: 'ok' | 'threw' | 'aborted' | 'refused' = 'ok';
  try {
    await work(behave, context);
    await write(id, context);
  } catch (error) {
    outcome = context.signal.aborted ? 'aborted' : 'threw';
    if (error instanceof StaleTokenError) outcome = 'refused';
    throw error;
  } finally {
    note(context, { event: 'end', id, outcome });
  }
};

async function work(behave: Behaviour | undefined, context: HandlerContext): Promise<void> {
  const { redeliveries, signal } = context;
  if (behave === 'throw' && redeliveries < throwsBefore) throw new Error('told to throw');
  if (behave === 'slow') await sleep(slowMs, undefined, { signal });
  // A message that kills its listener behaves the second time, else it would go through all pods.
  if (redeliveries === 0) {
    if (behave === 'hang') await sleep(hangMs);
    if (behave === 'block') for (;;);
    if (behave === 'exit') process.exit(3);
    if (behave === 'leak') await leak();
  }
  await sleep(1 + Math.random() * 2);
}

async function write(messageId: string, { lock, token, pod }: HandlerContext): Promise<void> {
  if (!pool) {
    pool = new Pool({ connectionString: process.env['BATON_TORTURE_STORE'] });
    pool.on('error', () => {}); // A connection that broke while nobody used it: the pool makes another one.
  }
  await recordEffect(pool, { lock, token, pod, messageId });
}

/** Until V8's limit ends the process. */
async function leak(): Promise<void> {
  const kept: number[][] = [];
  for (;;) {
    kept.push(Array.from<number>({ length: 1_000_000 }).fill(Math.random()));
    await sleep(1);
  }
}

function note(
  { lock, token, region, pod, redeliveries }: HandlerContext,
  what: { event: 'start' | 'end'; id: string; outcome?: string },
): void {
  fd ??= openSync(join(process.env['BATON_TORTURE_LEDGER']!, `${pod}-${process.pid}.jsonl`), 'a');
  const at = process.hrtime.bigint().toString();
  const { event, id, ...rest } = what;
  const line = { event, lock, id, token, region, pod, pid: process.pid, at, ...rest };
  writeSync(fd, `${JSON.stringify({ ...line, redelivered: redeliveries > 0 })}\n`);
}
