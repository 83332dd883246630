// A Docker engine of its own for `npm run test:images`: own data, socket, pid file; no rules in the machine's firewall,
// no forwarding, no bridge but those of the networks that the test makes. It ends with this process.
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { startNoNames } from './no-names.mjs';
import { findProgram } from './servers.mjs';
import { SetupError } from './step.mjs';

const START_LIMIT_MS = 60_000;
const STOP_LIMIT_MS = 30_000;

/**
 * @param {string} dataFolder Images and layers: stays, so that the next run finds them.
 * @param {boolean} online Whether containers find names outside, as builds on the host's network must. Without, such a
 *   name is refused at once.
 * @returns {Promise<{env: NodeJS.ProcessEnv, folder: string, stop: () => Promise<void>}>} `env` leads every
 *   docker command to it, and temporary files to a folder that ends with it.
 */
export async function startDockerEngine(dataFolder, { online }) {
  mkdirSync(dataFolder, { recursive: true });
  const folder = mkdtempSync(join(tmpdir(), 'baton-docker-'));
  const socket = `unix://${folder}/docker.sock`;
  const log = join(folder, 'dockerd.log');
  const options = [
    ...['--data-root', dataFolder, '--exec-root', join(folder, 'exec'), '--pidfile', join(folder, 'pid')],
    ...['--host', socket, '--bridge', 'none', '--iptables=false', '--ip6tables=false', '--ip-forward=false'],
  ];
  const output = openSync(log, 'a');
  const dockerd = [findProgram('dockerd'), ...options];
  const noNames = online ? undefined : await startNoNames();
  const [program, ...args] = noNames ? withNameServer(noNames.address, folder, dockerd) : dockerd;
  const engine = spawn(program, args, {
    stdio: ['ignore', output, output],
    detached: true,
    // Debian keeps runc and iptables, which the engine calls, in sbin.
    env: { ...process.env, PATH: `${process.env.PATH}:/usr/sbin:/sbin` },
  });
  const ended = new Promise((resolve) => engine.once('exit', resolve));
  let running = true;
  void ended.then(() => (running = false));
  engine.once('error', () => (running = false));

  const configFolder = join(folder, 'config');
  mkdirSync(join(configFolder, 'cli-plugins'), { recursive: true });
  const temporary = join(folder, 'tmp');
  mkdirSync(temporary);
  const env = { ...process.env, DOCKER_HOST: socket, DOCKER_CONFIG: configFolder, TMPDIR: temporary };
  delete env.DOCKER_CONTEXT;
  const stop = async () => {
    // Containers get SIGTERM, then SIGKILL; the shims of those that did not end are ended below.
    if (running) engine.kill('SIGTERM');
    await Promise.race([ended, sleep(STOP_LIMIT_MS, undefined, { ref: false })]);
    if (running) {
      endProcessesOf(folder);
      engine.kill('SIGKILL');
      await ended;
    }
    endProcessesOf(folder);
    noNames?.close();
    unmountBelow(folder);
    rmSync(folder, { recursive: true, force: true });
  };

  const giveUpAt = Date.now() + START_LIMIT_MS;
  while (spawnSync('docker', ['version', '--format', '{{.Server.Version}}'], { env }).status !== 0) {
    if (running && Date.now() < giveUpAt) {
      await sleep(250);
      continue;
    }
    const said = existsSync(log) ? readFileSync(log, 'utf8').trim().split('\n').slice(-5).join('\n') : '';
    await stop();
    throw new SetupError(`dockerd did not start:\n${said}`);
  }
  return { env, folder, stop };
}

/**
 * The command in a mount namespace of its own, in which /etc/resolv.conf names this server. Docker asks a server on a
 * loopback address from the host's network, which its option `--dns` does not do.
 */
function withNameServer(address, folder, command) {
  const file = join(folder, 'resolv.conf');
  writeFileSync(file, `nameserver ${address}\n`);
  const script = 'mount --bind "$0" /etc/resolv.conf && exec "$@"';
  return ['unshare', '--mount', 'sh', '-c', script, file, ...command];
}

/** containerd and its shims name the engine's folder in their arguments; nothing else does. */
function endProcessesOf(folder) {
  const { stdout } = spawnSync('ps', ['-eo', 'pid=,args='], { encoding: 'utf8' });
  for (const line of stdout.split('\n')) {
    const [, pid, args] = /^\s*(\d+) (.*)$/.exec(line) ?? [];
    if (pid && args.includes(`${folder}/exec`) && Number(pid) !== process.pid) {
      try {
        process.kill(Number(pid), 'SIGKILL');
      } catch {
        // It ended by itself meanwhile.
      }
    }
  }
}

function unmountBelow(folder) {
  const mounts = readFileSync('/proc/mounts', 'utf8').split('\n');
  const points = mounts
    .map((line) => line.split(' ')[1] ?? '')
    .filter((point) => point.startsWith(`${folder}/`));
  for (const point of points.toReversed()) spawnSync('umount', ['--lazy', point]);
}
