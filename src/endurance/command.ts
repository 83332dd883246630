import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { UsageError } from '../cli/command-line';
import { Interruption } from '../demo/interruption';
import { startDevStack, type DevStack } from '../dev/dev-stack';

export interface EnduranceContext {
  /**
   * etcd, RabbitMQ with its management page, and Temporal, of its own: every count is of all their clients.
   */
  stack: DevStack;
  /** For ledgers, logs, configurations. Removed at the end. */
  folder: string;
  /** One line of progress. */
  say: (line: string) => void;
  signal: AbortSignal;
}

/** Runs `work` on servers of its own, which are stopped afterwards, however it ends. @returns the exit code. */
export async function onOwnServers(
  name: string,
  work: (context: EnduranceContext) => Promise<number>,
): Promise<number> {
  const interruption = new Interruption();
  const say = (line: string): void => void process.stderr.write(`${name}: ${line}\n`);
  let stack: DevStack | undefined;
  try {
    say('starting etcd, RabbitMQ and Temporal');
    stack = await startDevStack({ rabbitmqManagement: true, onProgress: say });
    const folder = join(stack.folder, name);
    mkdirSync(folder);
    return await work({ stack, folder, say, signal: interruption.signal });
  } catch (error) {
    const reason: unknown = interruption.signal.aborted ? interruption.signal.reason : error;
    say(
      reason instanceof Error
        ? interruption.exitCode
          ? reason.message
          : (reason.stack ?? '')
        : String(reason),
    );
    return interruption.exitCode ?? 1;
  } finally {
    await stack?.stop();
    interruption.dispose();
  }
}

/** Ends the process with the exit code; bad input is one sentence and 2. */
export function exitWith(name: string, run: Promise<number>): void {
  void run
    .catch((error: unknown) => {
      console.error(error instanceof UsageError ? `${name}: ${error.message}` : error);
      return error instanceof UsageError ? 2 : 1;
    })
    // What was written goes out first.
    .then((code) => process.stdout.write('', () => process.exit(code)));
}
