import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { startDevStack, type DevStack } from '../../src/dev/dev-stack';

export interface TestEnvironment {
  /** What is in it goes with the servers. */
  folder: string;
  /** For the test processes. */
  variables: Record<string, string>;
  /** Idempotent. */
  stop: () => Promise<void>;
}

/**
 * Starts the servers that all tests of a run share. Used by scripts/run-tests.mjs and, for single files, by global-setup.
 *
 * @param temporalServers are dealt out to jest's processes. As many as run pods at the same time: pods of two files at one
 * server would run each other's workflows, as they poll the same queue of a region.
 */
export async function startTestEnvironment(temporalServers: number): Promise<TestEnvironment> {
  const onProgress = (line: string): void => void process.stderr.write(`test servers: ${line}\n`);
  const stacks: DevStack[] = [];
  const stop = async (): Promise<void> => void (await Promise.all(stacks.map((each) => each.stop())));
  const start = async (options: Parameters<typeof startDevStack>[0]): Promise<DevStack> => {
    const stack = await startDevStack({ ...options, onProgress });
    stacks.push(stack);
    return stack;
  };
  try {
    const stack = await start({});
    for (let n = 1; n < temporalServers; n++) await start({ servers: ['temporal'] });
    // Whatever a test leaves in the temporary folder goes with the stack's.
    const temporary = join(stack.folder, 'tmp');
    mkdirSync(temporary);
    const variables = {
      // With it, also the processes of an interrupted test are found and ended.
      ...stack.environment,
      TMPDIR: temporary,
      BATON_TEST_ETCD: stack.etcdAddresses.join(','),
      BATON_TEST_RABBITMQ: stack.rabbitmqUrl,
      BATON_TEST_TEMPORAL: stacks.map(({ temporalAddress }) => temporalAddress).join(','),
    };
    return { folder: stack.folder, variables, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}
