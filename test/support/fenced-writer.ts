/** A write that a handler has begun: past Baton's guard, before the store. See fenced-handler.ts. */
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Pool } from 'pg';
import { type Effect, recordEffect, recordUnfenced } from '../../src/dev/effect-sink';

const folder = process.env['BATON_TEST_MARKS'] ?? '';
const { effect, fenced } = JSON.parse(process.argv[2] ?? '') as { effect: Effect; fenced: boolean };
const mark = (name: string): string => join(folder, `${effect.messageId}.${name}`);

async function write(): Promise<string> {
  const pool = new Pool({ connectionString: process.env['BATON_TEST_POSTGRES'], max: 1 });
  // Connected, as a pod in use is.
  await pool.query('SELECT 1');
  writeFileSync(mark('waits'), '');
  for (const giveUpAt = Date.now() + 120_000; !existsSync(mark('go')); await sleep(10))
    if (Date.now() > giveUpAt) return 'nobody said go';
  try {
    return await (fenced ? recordEffect : recordUnfenced)(pool, effect);
  } catch (error) {
    return String(error);
  } finally {
    await pool.end();
  }
}

void write().then((outcome) => writeFileSync(mark('outcome'), outcome));
