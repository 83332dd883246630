// Gets the servers that Baton's demo and tests run, on a machine without containers. Each is taken from, in this
// order: an address in the environment, a program on PATH, the cache folder, what can be fetched.
import { spawnSync } from 'node:child_process';
import {
  accessSync,
  chmodSync,
  constants,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
} from 'node:fs';
import { renameSync, rmSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, join } from 'node:path';
import { reason, run, say, SetupError, step, withLock } from './step.mjs';

export const cacheDir = join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'baton');
export const binDir = join(cacheDir, 'bin');

// Debian keeps servers in sbin, which is not on an ordinary user's PATH. src/dev/find-program.ts looks there too.
const moreFolders = ['/usr/sbin', '/usr/local/sbin', '/opt/homebrew/bin', '/opt/homebrew/sbin', binDir];

const servers = [
  {
    program: 'etcd',
    address: 'BATON_DEV_ETCD',
    apt: ['etcd-server', 'etcd-client'],
    brew: 'etcd',
    usable: etcdIsRecent,
  },
  {
    program: 'rabbitmq-server',
    address: 'BATON_DEV_RABBITMQ',
    apt: ['rabbitmq-server'],
    brew: 'rabbitmq',
  },
  {
    program: 'temporal',
    address: 'BATON_DEV_TEMPORAL',
    // Later versions cannot be built with `go install`.
    go: { module: 'github.com/temporalio/cli/cmd/temporal@v1.5.1', builds: 'temporal' },
    brew: 'temporal',
    note: ' (compiles for two to three minutes, once per machine)',
  },
];

const toxiproxy = {
  program: 'toxiproxy-server',
  go: { module: 'github.com/Shopify/toxiproxy/v2/cmd/server@v2.5.0', builds: 'server' },
  brew: 'toxiproxy',
};

/** Checks and tests the alert rules; the server itself is never started. */
const promtool = { program: 'promtool', apt: ['prometheus'], brew: 'prometheus' };

/** For the test of the dashboard. */
const chromium = { program: 'chromium', apt: ['chromium'], brew: 'chromium' };

/** For the tests of fencing. Debian keeps its programs in a folder per version, where src/dev/postgres-server.ts looks. */
const postgres = {
  program: 'postgres',
  apt: ['postgresql'],
  brew: 'postgresql',
  folder: '/usr/lib/postgresql',
};

/** For `npm run test:images`: the engine, and what makes the root of a base image. */
const docker = [
  { program: 'dockerd', apt: ['docker.io'] },
  { program: 'debootstrap', apt: ['debootstrap'] },
];

/** For the clock faults of `npm run torture`, which says that it skips them where this is missing. */
const faketime = { program: 'faketime', apt: ['faketime'] };

/** For the packets that `npm run torture` drops in the pods' own network namespaces; skipped and said where it is missing. */
const packets = [
  { program: 'iptables', apt: ['iptables'] },
  { program: 'ip', apt: ['iproute2'] },
];

/** Checks the units and sends what a pod tells systemd; it manages nothing here. */
const systemd = { program: 'systemd-analyze', apt: ['systemd'] };

/** Makes all servers available; with `forTests` also what only tests need. Does nothing for those that are. */
export async function installServers({ forTests }) {
  const canInstall = process.getuid?.() === 0 && findProgram('apt-get') !== undefined;
  const forTestsOnly = [
    toxiproxy,
    promtool,
    chromium,
    postgres,
    ...(canInstall ? [faketime, systemd, ...packets] : []),
  ];
  await installMissing(forTests ? [...servers, ...forTestsOnly] : servers);
}

/** Docker's engine and what the stand-ins of its base images are made with. */
export async function installDocker() {
  await installMissing([...docker, ...servers.filter(({ program }) => program === 'temporal')]);
}

async function installMissing(wanted) {
  const missing = wanted.filter((server) => !process.env[server.address] && !isInstalled(server));
  if (missing.length === 0) return;

  // Debian's packages come in one call, since dpkg works on one at a time; everything else runs beside it.
  const fromDebian = missing.filter((server) => server.apt && findProgram('apt-get'));
  const others = missing.filter((server) => !fromDebian.includes(server));
  const results = await Promise.allSettled([
    ...(fromDebian.length > 0 ? [installFromDebian(fromDebian)] : []),
    ...others.map((server) => installOther(server)),
  ]);
  const failures = results.filter((result) => result.status === 'rejected').map((result) => result.reason);
  const unexpected = failures.find((error) => !(error instanceof SetupError));
  if (unexpected) throw unexpected;
  if (failures.length > 0) throw new SetupError(failures.map((error) => error.message).join('\n'));
}

function isInstalled({ program, usable, folder }) {
  const versions = folder && existsSync(folder) ? readdirSync(folder) : [];
  if (versions.some((version) => isExecutable(join(folder, version, 'bin', program)))) return true;
  const found = findProgram(program);
  return found !== undefined && (usable === undefined || usable(found));
}

export function findProgram(name) {
  const folders = [...(process.env.PATH ?? '').split(delimiter), ...moreFolders];
  return folders
    .map((folder) => join(folder, name))
    .find((path) => path.startsWith('/') && isExecutable(path));
}

function isExecutable(path) {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** Baton needs etcd 3.4: earlier ones have neither lease keep-alives nor elections that it can rely on. */
function etcdIsRecent(path) {
  const { stdout } = spawnSync(path, ['--version'], { encoding: 'utf8' });
  const version = /etcd Version: (\d+)\.(\d+)/.exec(stdout ?? '');
  if (version === null) return false;
  return Number(version[1]) > 3 || (Number(version[1]) === 3 && Number(version[2]) >= 4);
}

async function installFromDebian(missing) {
  const packages = missing.flatMap((server) => server.apt);
  const install = ['install', '-y', '--no-install-recommends', '-o', 'DPkg::Lock::Timeout=300', ...packages];
  const byHand = `apt-get update && apt-get install -y --no-install-recommends ${packages.join(' ')}`;
  if (process.getuid?.() !== 0) {
    throw new SetupError(`${names(missing)} must be installed by root; run by hand: sudo sh -c '${byHand}'`);
  }
  const environment = { env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' } };
  // The lock is not per user: dpkg is one for the machine.
  await withLock('/run/lock/baton-apt', async () => {
    if (missing.every(isInstalled)) return; // Another set-up did it while this one waited.
    const epmdBefore = epmdPids();
    const allowServices = keepServicesStopped();
    try {
      await step(`installing ${packages.join(' ')} with apt-get`, async () => {
        let result = (await knowsPackages(packages)) ? await run('apt-get', install, environment) : undefined;
        if (!result?.ok) {
          // Package lists that are missing or so old that the files they name are gone.
          await run('apt-get', ['update'], environment);
          result = await run('apt-get', install, environment);
        }
        if (!result.ok) {
          throw new SetupError(
            `apt-get could not install ${names(missing)} (${reason(result.output)}); run by hand: ${byHand}`,
          );
        }
      });
    } finally {
      allowServices();
      endNewEpmds(epmdBefore);
    }
    await disableServices();
  });
}

async function knowsPackages(packages) {
  const { output } = await run('apt-cache', ['policy', ...packages]);
  return packages.every((name) => output.includes(`${name}:\n`)) && !output.includes('Candidate: (none)');
}

/** Debian starts a server when it is installed, on its default port; a policy-rc.d that says 101 prevents it. */
function keepServicesStopped() {
  const policy = '/usr/sbin/policy-rc.d';
  if (existsSync(policy)) return () => {};
  writeFileSync(policy, '#!/bin/sh\nexit 101\n', { mode: 0o755 });
  chmodSync(policy, 0o755); // Whatever the umask.
  const remove = () => rmSync(policy, { force: true });
  process.once('exit', remove);
  return () => {
    process.off('exit', remove);
    remove();
  };
}

/** Nor should they start at the next boot: Baton runs its own, on its own ports. */
async function disableServices() {
  if (findProgram('systemctl')) {
    const services = [
      'etcd',
      'rabbitmq-server',
      'epmd.service',
      'epmd.socket',
      'postgresql',
      'prometheus',
      'docker',
      'docker.socket',
      'containerd',
    ];
    await run('systemctl', ['disable', ...services]);
  }
}

function epmdPids() {
  const isEpmd = (pid) => {
    try {
      return readFileSync(`/proc/${pid}/comm`, 'utf8').trim() === 'epmd';
    } catch {
      return false; // It ended while we looked.
    }
  };
  return readdirSync('/proc').filter((entry) => /^\d+$/.test(entry) && isEpmd(entry));
}

/** Package scripts that call Erlang leave its port mapper behind, listening on all addresses. */
function endNewEpmds(before) {
  for (const pid of epmdPids().filter((each) => !before.includes(each))) process.kill(Number(pid), 'SIGTERM');
}

async function installOther(server) {
  if (server.go && findProgram('go')) return installWithGo(server);
  if (server.brew && findProgram('brew')) return installWithBrew(server);
  throw new SetupError(cannotBeHad(server));
}

async function installWithGo(server) {
  const { program, go, note = '' } = server;
  const byHand = `GOBIN=${binDir} go install ${go.module}`;
  await withLock(join(cacheDir, `${program}.lock`), async () => {
    if (isInstalled(server)) return; // Another set-up did it while this one waited.
    mkdirSync(binDir, { recursive: true });
    const building = mkdtempSync(join(cacheDir, 'building-'));
    const discard = () => rmSync(building, { recursive: true, force: true });
    process.once('exit', discard);
    try {
      await step(`building ${program} with go install${note}`, async () => {
        const environment = { ...process.env, GOBIN: building };
        const result = await run('go', ['install', go.module], { env: environment });
        if (!result.ok) {
          throw new SetupError(
            `go could not build ${program} (${reason(result.output)}); run by hand: ${byHand}`,
          );
        }
      });
      renameSync(join(building, go.builds), join(binDir, program));
    } finally {
      process.off('exit', discard);
      discard();
    }
  });
}

async function installWithBrew({ program, brew }) {
  await step(`installing ${program} with brew`, async () => {
    const result = await run('brew', ['install', '--quiet', brew]);
    if (!result.ok) {
      throw new SetupError(
        `brew could not install ${program} (${reason(result.output)}); run by hand: brew install ${brew}`,
      );
    }
  });
}

function cannotBeHad({ program, address, apt, go, brew }) {
  const commands = [
    ...(apt ? [`apt-get install -y ${apt.join(' ')}`] : []),
    ...(go ? [`GOBIN=${binDir} go install ${go.module} (needs Go)`] : []),
    `brew install ${brew}`,
  ];
  const instead = address ? `, or set ${address} to the address of one that runs` : '';
  return `${program} is not on this machine and nothing here can install it; run by hand: ${commands.join(' or ')}${instead}`;
}

function names(list) {
  return list.map((server) => server.program).join(' and ');
}

/** What the set-up found, for the closing line. */
export function reportServers() {
  for (const { program, address } of servers) {
    if (process.env[address]) say(`${program}: using ${address}=${process.env[address]}`);
  }
}
