import { accessSync, constants, existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, isAbsolute, join, resolve } from 'node:path';

// The same places as in scripts/servers.mjs, which runs before this file is compiled. Debian keeps servers in sbin,
// which is not on an ordinary user's PATH.
const moreFolders = ['/usr/sbin', '/usr/local/sbin', '/opt/homebrew/bin', '/opt/homebrew/sbin'];

/** Where RabbitMQ's own programs are: on PATH, Debian has wrappers that change the user. */
export const rabbitmqFolders = ['/usr/lib/rabbitmq/bin'];

/** Where `scripts/setup.mjs` puts the programs that it builds. */
export function programCache(): string {
  return join(process.env['XDG_CACHE_HOME'] || join(homedir(), '.cache'), 'baton', 'bin');
}

/** For those who have no clone with a set-up. Temporal: later versions cannot be built with `go install`. */
const waysToGet: Record<string, { ways: string[]; address?: string }> = {
  etcd: {
    ways: ['apt-get install etcd-server', 'brew install etcd'],
    address: 'BATON_DEV_ETCD=host:port',
  },
  'rabbitmq-server': {
    ways: ['apt-get install rabbitmq-server', 'brew install rabbitmq'],
    address: 'BATON_DEV_RABBITMQ=amqp://user:password@host:5672',
  },
  temporal: {
    ways: ['brew install temporal', 'go install github.com/temporalio/cli/cmd/temporal@v1.5.1'],
    address: 'BATON_DEV_TEMPORAL=host:port',
  },
};

/**
 * The path of a program: from `preferredFolders`, else from PATH, else from where the set-up puts it.
 * @throws Error saying how to install it when it is nowhere.
 */
export function findProgram(name: string, preferredFolders: string[] = []): string {
  const path = lookForProgram(name, preferredFolders);
  if (path === undefined) throw new Error(missingText(name));
  return path;
}

/** @throws Error naming all programs that are missing, each with how to install it, so that nothing is started in vain. */
export function checkPrograms(names: string[]): void {
  const missing = missingPrograms(names);
  if (missing.length > 0) throw new Error(missing.map(missingText).join('\n'));
}

/** Those of them that are not on this machine. */
export const missingPrograms = (names: string[]): string[] =>
  names.filter((name) => lookForProgram(name, rabbitmqFolders) === undefined);

/** One sentence: what is missing, and how to get it. */
export function missingText(name: string): string {
  const where = `${name} was found neither on PATH nor in ${programCache()}`;
  const known = waysToGet[name];
  const ways = [...(setupIsHere() ? ['node scripts/setup.mjs --test'] : []), ...(known?.ways ?? [])];
  const install = ways.length === 0 ? 'install it' : `install it (${ways.join(', or ')})`;
  return `${where}; ${install}${known?.address === undefined ? '' : `, or set ${known.address} to one that runs`}`;
}

/** Only a clone has it, two folders above this file's source and three above the compiled one. */
const setupIsHere = (): boolean =>
  ['../..', '../../..'].some((up) => existsSync(resolve(__dirname, up, 'scripts', 'setup.mjs')));

function lookForProgram(name: string, preferredFolders: string[]): string | undefined {
  const onPath = (process.env['PATH'] ?? '').split(delimiter).filter(isAbsolute);
  return [...preferredFolders, ...onPath, ...moreFolders, programCache()]
    .map((folder) => join(folder, name))
    .find(isExecutable);
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
