import { spawnSync } from 'node:child_process';
import { resolve } from 'node:path';
import { startTestEnvironment, type TestEnvironment } from './test-environment';

declare global {
  /** What global-teardown stops. */
  var batonTestEnvironment: TestEnvironment | undefined;
}

/** Makes the servers available, unless `npm test` or a developer already has: BATON_TEST_ETCD is set then. */
export default async function globalSetup({ maxWorkers }: { maxWorkers: number }): Promise<void> {
  if (process.env['BATON_TEST_ETCD']) return;
  const setup = resolve(__dirname, '../../scripts/setup.mjs');
  const { status } = spawnSync(process.execPath, [setup, '--test'], {
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  // Not fatal: a single test can do without what another file's type error prevented.
  if (status !== 0) process.stderr.write('test servers: the set-up failed; going on with what is there\n');
  const environment = await startTestEnvironment(maxWorkers);
  globalThis.batonTestEnvironment = environment;
  Object.assign(process.env, environment.variables);
}
