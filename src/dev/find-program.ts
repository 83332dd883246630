import { accessSync, constants } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, isAbsolute, join } from 'node:path';

// The same places as in scripts/servers.mjs, which runs before this file is compiled. Debian keeps servers in sbin,
// which is not on an ordinary user's PATH.
const moreFolders = ['/usr/sbin', '/usr/local/sbin', '/opt/homebrew/bin', '/opt/homebrew/sbin'];

/** Where `scripts/setup.mjs` puts the programs that it builds. */
export function programCache(): string {
  return join(process.env['XDG_CACHE_HOME'] || join(homedir(), '.cache'), 'baton', 'bin');
}

/**
 * The path of a program: from `preferredFolders`, else from PATH, else from where the set-up puts it.
 * @throws Error saying what to run when it is nowhere.
 */
export function findProgram(name: string, preferredFolders: string[] = []): string {
  const onPath = (process.env['PATH'] ?? '').split(delimiter).filter(isAbsolute);
  for (const folder of [...preferredFolders, ...onPath, ...moreFolders, programCache()]) {
    const path = join(folder, name);
    if (isExecutable(path)) return path;
  }
  throw new Error(
    `${name} was found neither on PATH nor in ${programCache()}; run \`node scripts/setup.mjs --test\` to install it`,
  );
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
