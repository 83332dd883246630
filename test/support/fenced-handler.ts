/**
 * The tests' handler with a store: an effect in PostgreSQL for each message. A message may tell it to misbehave, the
 * first time it comes: `{"seq": 7, "behave": "exit-after-commit"}`.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { Pool } from 'pg';
import { handle as work } from '../../src/demo/handler';
import { type Effect, recordEffect } from '../../src/dev/effect-sink';
import type { Handler } from '../../src/listener/handler';

export type FencedBehaviour =
  /** Ends the process between the commit and the acknowledgement. */
  | 'exit-after-commit'
  /** Leaves the write to another process, which waits for a file before it writes: with the check of the token. */
  | 'write-elsewhere'
  /** The same without the check. */
  | 'write-elsewhere-unfenced';

let pool: Pool | undefined;

export const handle: Handler = async (message, context) => {
  const { seq, behave } = JSON.parse(message.body.toString()) as { seq: number; behave?: FencedBehaviour };
  const { lock, token, pod } = context;
  const effect = { lock, token, pod, messageId: message.messageId ?? String(seq) };
  if (context.redeliveries === 0 && behave?.startsWith('write-elsewhere'))
    return writeElsewhere(effect, behave === 'write-elsewhere');
  await work(message, context);
  pool ??= new Pool({ connectionString: process.env['BATON_TEST_POSTGRES'], max: 8 });
  const outcome = await recordEffect(pool, effect);
  if (outcome === 'duplicate') context.logger.info({ messageId: effect.messageId }, 'skipped a duplicate');
  if (context.redeliveries === 0 && behave === 'exit-after-commit') process.exit(3);
};

/** Leads a group of its own, so that it outlives the listener's end: nothing of Baton can stop it any more. */
async function writeElsewhere(effect: Effect, fenced: boolean): Promise<void> {
  const program = join(__dirname, 'fenced-writer.js');
  const writer = spawn(process.execPath, [program, JSON.stringify({ effect, fenced })], {
    stdio: 'ignore',
    detached: true,
  });
  await once(writer, 'exit');
}
