import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';

export type PreviousRelease = { program: string; why: null } | { program: null; why: string };

/** Compiled, this file lies one folder deeper. */
const script = ['../..', '../../..']
  .map((up) => resolve(__dirname, up, 'scripts/previous-release.mjs'))
  .find((path) => existsSync(path));

/** The command line of the release before this one; built first, where that has not been done: half a minute, and it says so. */
export function previousRelease(): PreviousRelease {
  if (script === undefined) return { program: null, why: 'not in a clone of the repository' };
  const stdio = ['ignore', 'pipe', 'inherit'] as const;
  const { status, stdout } = spawnSync(process.execPath, [script], { encoding: 'utf8', stdio: [...stdio] });
  if (status !== 0) return { program: null, why: 'the previous release could not be built' };
  return { program: join(stdout.trim().split('\n').at(-1) ?? '', 'dist/src/cli/main.js'), why: null };
}
