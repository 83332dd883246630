import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';

/**
 * The compiled program at `path`, which is relative to this folder: whoever starts it may run uncompiled, under jest.
 *
 * @throws Error when nothing has been built.
 */
export function compiledProgram(path: string): string {
  const beside = join(__dirname, path);
  const program = existsSync(beside) ? beside : resolve(__dirname, '../dist/src', path);
  if (!existsSync(program)) throw new Error(`${program} is missing: expected a build; run \`npm run build\``);
  return program;
}
