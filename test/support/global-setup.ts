import { spawnSync } from 'node:child_process';
import { resolve } from 'node:path';
import type { DevStack } from '../../src/dev/dev-stack';
import { startTestEnvironment } from './test-environment';

declare global {
  /** What global-teardown stops. */
  var batonTestStack: DevStack | undefined;
}

/** Makes the servers available, unless `npm test` or a developer already has: BATON_TEST_ETCD is set then. */
export default async function globalSetup(): Promise<void> {
  if (process.env['BATON_TEST_ETCD']) return;
  const setup = resolve(__dirname, '../../scripts/setup.mjs');
  const { status } = spawnSync(process.execPath, [setup, '--test'], {
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  // Not fatal: a single test can do without what another file's type error prevented.
  if (status !== 0) process.stderr.write('test servers: the set-up failed; going on with what is there\n');
  const { stack, variables } = await startTestEnvironment();
  globalThis.batonTestStack = stack;
  Object.assign(process.env, variables);
}
