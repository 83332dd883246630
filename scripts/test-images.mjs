// `npm run test:images [-- PATTERN]`: the image, docker-compose.yml and the Swarm stack, built and run as they are on a
// Docker engine of its own. The first time takes ten to twenty minutes (Go's compiler), the next time about nine.
import { spawn, spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildWithGo } from './built-with-go.mjs';
import { startDockerEngine } from './docker-engine.mjs';
import { whenInterrupted } from './interruption.mjs';
import { cacheDir, installDocker } from './servers.mjs';
import { buildStandIns } from './stand-in-images.mjs';
import { endChildren, run, say, SetupError, step, withLock } from './step.mjs';

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

/** First the images, with the network that building them needs; then the tests, without. */
async function onEngine(plugins) {
  await withEngine(plugins, { online: true }, async (env) => {
    await buildStandIns(env);
    await buildImages(env);
  });
  return interrupted ?? (await withEngine(plugins, { online: false }, runJest));
}

async function withEngine(plugins, options, work) {
  if (interrupted) return interrupted;
  const engine = await startDockerEngine(join(cacheDir, 'images', 'docker'), options);
  try {
    cpSync(plugins, join(engine.folder, 'config', 'cli-plugins'), { recursive: true });
    return await work(engine.env);
  } finally {
    await step('stopping the Docker engine', async () => {
      removeAll(engine.env);
      await engine.stop();
    });
  }
}

/** As `docker compose build` and `docker build` do it, on the host's network, since this engine has no other. */
async function buildImages(env) {
  const folder = mkdtempSync(join(tmpdir(), 'baton-build-'));
  try {
    const secrets = join(folder, 'env');
    const network = join(folder, 'network.yml');
    writeFileSync(network, 'services: { us-east-a: { build: { network: host } } }\n');
    const files = ['--file', 'docker-compose.yml', '--file', network, '--env-file', secrets];
    await mustRun('sh', ['deploy/docker/make-secrets.sh', secrets], env);
    await step('building the image', () =>
      mustRun('docker', ['compose', ...files, '--progress', 'plain', 'build', 'us-east-a'], env),
    );
    const example = ['--tag', 'orders-handler', 'deploy/docker/example-handler'];
    await step("building the example's image", () =>
      mustRun('docker', ['build', '--network', 'host', ...example], { ...env, DOCKER_BUILDKIT: '0' }),
    );
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function mustRun(program, args, env) {
  const { ok, output } = await run(program, args, { cwd: root, env });
  if (!ok) throw new SetupError(`${program} ${args[0]}: ${output.trim().split('\n').slice(-15).join('\n')}`);
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
