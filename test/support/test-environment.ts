import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { startDevStack, type DevStack } from '../../src/dev/dev-stack';

export interface TestEnvironment {
  stack: DevStack;
  /** For the test processes. */
  variables: Record<string, string>;
}

/** Starts the servers that all tests of a run share. Used by scripts/run-tests.mjs and, for single files, by global-setup. */
export async function startTestEnvironment(): Promise<TestEnvironment> {
  const stack = await startDevStack({
    onProgress: (line) => process.stderr.write(`test servers: ${line}\n`),
  });
  // Whatever a test leaves in the temporary folder goes with the stack's.
  const temporary = join(stack.folder, 'tmp');
  mkdirSync(temporary);
  return {
    stack,
    variables: {
      // With it, also the processes of an interrupted test are found and ended.
      ...stack.environment,
      TMPDIR: temporary,
      BATON_TEST_ETCD: stack.etcdAddresses.join(','),
      BATON_TEST_RABBITMQ: stack.rabbitmqUrl,
      BATON_TEST_TEMPORAL: stack.temporalAddress,
    },
  };
}
