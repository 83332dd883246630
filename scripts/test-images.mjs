// `npm run test:images [-- PATTERN]`: the image, docker-compose.yml and the Swarm stack, built and run as they are on a
// Docker engine of its own. The first time takes ten to twenty minutes (Go's compiler), the next time about eight.
import { spawn, spawnSync } from 'node:child_process';
import { cpSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildWithGo } from './built-with-go.mjs';
import { startDockerEngine } from './docker-engine.mjs';
import { whenInterrupted } from './interruption.mjs';
import { cacheDir, installDocker } from './servers.mjs';
import { buildStandIns } from './stand-in-images.mjs';
import { endChildren, say, SetupError, step, withLock } from './step.mjs';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const composePlugin = { 'docker-compose': 'github.com/docker/compose/v2/cmd' };

let jest;
let interrupted;
whenInterrupted((exitCode, signal) => {
  say(`interrupted by ${signal}`);
  interrupted = exitCode;
  endChildren();
  jest?.kill('SIGKILL');
});

try {
  if (process.platform !== 'linux' || process.getuid() !== 0)
    throw new SetupError('test:images starts a Docker engine: it needs Linux and root');
  await installDocker();
  const plugins = await buildWithGo(
    'compose-plugin',
    join(root, 'test', 'images', 'compose-plugin'),
    composePlugin,
    'two minutes',
  );
  // One engine at a time for the images in the cache.
  const code = await withLock(join(cacheDir, 'docker.lock'), () => onEngine(plugins));
  process.exit(interrupted ?? code);
} catch (error) {
  if (interrupted) process.exit(interrupted);
  if (!(error instanceof SetupError)) throw error;
  say(error.message);
  process.exit(1);
}

async function onEngine(plugins) {
  if (interrupted) return interrupted;
  const engine = await startDockerEngine(join(cacheDir, 'images', 'docker'));
  try {
    cpSync(plugins, join(engine.folder, 'config', 'cli-plugins'), { recursive: true });
    await buildStandIns(engine.env);
    return interrupted ?? (await runJest(engine.env));
  } finally {
    await step('stopping the Docker engine', async () => {
      removeAll(engine.env);
      await engine.stop();
    });
  }
}

function runJest(env) {
  const options = ['--config', join(root, 'test', 'images', 'jest.config.js'), '--runInBand'];
  jest = spawn(
    process.execPath,
    [join(root, 'node_modules', 'jest', 'bin', 'jest.js'), ...options, ...process.argv.slice(2)],
    { cwd: root, env, stdio: 'inherit' },
  );
  return new Promise((resolve) => {
    jest.once('error', () => resolve(1));
    jest.once('exit', (status) => resolve(status ?? 1));
  });
}

/** Containers, networks and volumes: what a test that was cut off has left. Images stay. */
function removeAll(env) {
  const docker = (...args) => spawnSync('docker', args, { env, encoding: 'utf8' });
  docker('swarm', 'leave', '--force');
  const containers = docker('ps', '--all', '--quiet').stdout.split('\n').filter(Boolean);
  if (containers.length > 0) docker('rm', '--force', '--volumes', ...containers);
  docker('network', 'prune', '--force');
  const volumes = docker('volume', 'ls', '--quiet').stdout.split('\n').filter(Boolean);
  if (volumes.length > 0) docker('volume', 'rm', '--force', ...volumes);
}
