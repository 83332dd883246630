import os from 'node:os';
import type { BatonClient } from '../client/baton-client';
import { isDenied, isExpected } from '../client/expected-error';
import type { LockSettings } from '../config/config';
import { chosenLocks } from './chosen-locks';
import { CommandError, UsageError } from './command-line';

/** Options of the commands that leave a trace with a name. */
export const whoOptions = {
  reason: { value: 'TEXT', required: true, help: 'why; stands in the receipt, the log and the history' },
  by: { value: 'WHO', help: 'who asks (default: the user and host)' },
} as const;
export const lockOption = {
  lock: { value: 'LOCK', multiple: true, help: 'only this lock (default: all)' },
} as const;

/** Runs a command's work with a client for its configuration and the locks that it is about. */
export async function withClient<T>(
  options: { config: string | undefined; lock: string[] },
  work: (client: BatonClient, locks: LockSettings[]) => Promise<T>,
): Promise<T> {
  const { BatonClient: Client } = await import('../client/baton-client.js');
  const client = Client.open({
    ...(options.config !== undefined && { config: options.config }),
    onProblem: (problem) => console.error(`baton: ${problem}`),
  });
  try {
    return await work(client, chosenLocks(client.config, options.lock));
  } catch (error) {
    throw asCommandError(error);
  } finally {
    await client.close();
  }
}

/** The sentence for an operator, where a server did not answer or refused; where it does not let us in, exit code 2. */
export const asCommandError = (error: unknown): unknown => {
  if (isDenied(error)) return new UsageError(error.message, { cause: error });
  return isExpected(error) ? new CommandError(error.message, { cause: error }) : error;
};

/** Asks for every lock at once: one that fails must not hide what became of the others. */
export const forEachLock = <T>(
  locks: LockSettings[],
  ask: (lock: string) => Promise<T>,
  orElse: (lock: string, why: string) => T,
): Promise<T[]> =>
  Promise.all(
    locks.map(async ({ name: lock }) => {
      try {
        return await ask(lock);
      } catch (error) {
        if (!isExpected(error)) throw error;
        return orElse(lock, error.message);
      }
    }),
  );

export function whoAmI(): string {
  try {
    return `${os.userInfo().username}@${os.hostname()}`;
  } catch {
    // A container's user id without an entry in /etc/passwd has no name.
    return `uid ${process.getuid?.() ?? '?'}@${os.hostname()}`;
  }
}
