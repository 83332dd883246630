import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';

/** A program beside this file, which itself may run uncompiled, under jest. */
export function compiledProgram(name: string): string {
  const beside = join(__dirname, name);
  return existsSync(beside) ? beside : resolve(__dirname, '../../dist/src/bench', name);
}
