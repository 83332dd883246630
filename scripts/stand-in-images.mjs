// Stand-ins for the images that Dockerfile and docker-compose.yml name, for a machine that cannot pull any: built from
// Debian's packages, npm packages and Go modules, and tagged with the real names.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildWithGo } from './built-with-go.mjs';
import { cacheDir, findProgram } from './servers.mjs';
import { reason, run, SetupError, step, withLock } from './step.mjs';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const sources = join(root, 'test', 'images', 'stand-ins');
const debian = 'trixie';
const nodeVersion = '22.23.3';
const npmVersion = '10.9.9';
const fingerprintLabel = 'baton.stand-in';

/** The real names, and what each is built from. */
export const standIns = {
  'node:22-trixie-slim': 'node',
  'gcr.io/etcd-development/etcd:v3.5.16': 'etcd',
  'postgres:17-trixie': 'postgres',
  'rabbitmq:4.0-management': 'rabbitmq',
  'temporalio/server:1.32.0': 'temporal-server',
  'temporalio/admin-tools:1.32.0': 'temporal-admin-tools',
  'temporalio/ui:2.54.1': 'temporal-ui',
  'temporalio/temporal:1.5.1': 'temporal-cli',
};

const temporalPrograms = {
  'temporal-sql-tool': 'go.temporal.io/server/cmd/tools/sql',
  'ui-server': 'github.com/temporalio/ui-server/v2/cmd/server',
  'temporal-server': 'go.temporal.io/server/cmd/server',
};

/** Builds those that the engine of `env` does not have yet. The first time takes some minutes. */
export async function buildStandIns(env) {
  const missing = [];
  for (const [image, name] of Object.entries(standIns)) {
    const { output, ok } = await docker(env, 'image', 'inspect', '--format', labelFormat, image);
    if (!ok || output.trim() !== fingerprint(name)) missing.push([image, name]);
  }
  if (missing.length === 0) return;
  const [rootArchive, programs, nodeFolder] = await inOrder([
    makeRoot,
    () => buildWithGo('temporal', sources, temporalPrograms, 'two to six minutes'),
    installNode,
  ]);
  const context = mkdtempSync(join(cacheDir, 'images', 'context-'));
  try {
    await mustRun(env, 'importing the root', ['import', rootArchive, 'baton-stand-in/debian']);
    cpSync(sources, join(context, 'stand-ins'), { recursive: true });
    cpSync(programs, join(context, 'bin'), { recursive: true });
    cpSync(findProgram('temporal'), join(context, 'bin', 'temporal'));
    cpSync(nodeFolder, join(context, 'node'), { recursive: true, verbatimSymlinks: true });
    cpSync(await uiConfiguration(), join(context, 'ui-config'), { recursive: true });
    for (const [image, name] of missing) {
      const file = join(context, 'stand-ins', `${name}.Dockerfile`);
      const label = `${fingerprintLabel}=${fingerprint(name)}`;
      const build = ['build', '--network', 'host', '--label', label, '--tag', image, '--file', file, context];
      await step(`building a stand-in for ${image}`, () => mustRun(env, image, build));
    }
  } finally {
    rmSync(context, { recursive: true, force: true });
  }
}

const labelFormat = `{{index .Config.Labels "${fingerprintLabel}"}}`;

function fingerprint(name) {
  const hash = createHash('sha256').update(`${debian} ${nodeVersion} ${npmVersion}`);
  const wanted = readdirSync(sources).filter(
    (file) => file.startsWith(name) || !file.endsWith('.Dockerfile'),
  );
  for (const file of wanted.toSorted()) hash.update(file).update(readFileSync(join(sources, file)));
  return hash.digest('hex').slice(0, 12);
}

/** debootstrap's root with what this machine trusts, as one archive. */
async function makeRoot() {
  const archive = join(cacheDir, 'images', `debian-${debian}.tar`);
  if (existsSync(archive)) return archive;
  await withLock(join(cacheDir, 'debian-root.lock'), async () => {
    if (existsSync(archive)) return; // Another set-up did it while this one waited.
    mkdirSync(join(cacheDir, 'images'), { recursive: true });
    const building = mkdtempSync(join(cacheDir, 'images', 'root-'));
    const discard = () => {
      // debootstrap mounts them, and was perhaps interrupted.
      for (const name of ['proc', 'sys']) spawnSync('umount', ['--lazy', join(building, name)]);
      rmSync(building, { recursive: true, force: true });
      rmSync(`${building}.tar`, { force: true });
    };
    process.once('exit', discard);
    try {
      await step(`making Debian ${debian} with debootstrap`, async () => {
        const made = await run('debootstrap', [
          '--variant=minbase',
          '--include=ca-certificates',
          debian,
          building,
        ]);
        if (!made.ok) throw new SetupError(`debootstrap failed: ${reason(made.output)}`);
        cpSync('/etc/ssl/certs/ca-certificates.crt', join(building, 'etc/ssl/certs/ca-certificates.crt'));
        for (const folder of [
          'var/cache/apt',
          'var/lib/apt/lists',
          'usr/share/doc',
          'usr/share/man',
          'usr/share/locale',
        ])
          rmSync(join(building, folder), { recursive: true, force: true });
        // Beside the folder, so that no half-written archive has the right name.
        const packed = await run('sh', [
          '-c',
          `tar -C ${building} --exclude=./dev/* --exclude=./proc/* -cf ${building}.tar . && mv ${building}.tar ${archive}`,
        ]);
        if (!packed.ok) throw new SetupError(`tar failed: ${reason(packed.output)}`);
      });
    } finally {
      process.off('exit', discard);
      discard();
    }
  });
  return archive;
}

async function installNode() {
  const folder = join(cacheDir, 'images', `node-${nodeVersion}`);
  if (existsSync(join(folder, 'node_modules', 'npm'))) return folder;
  await step(`getting Node ${nodeVersion} from npm`, async () => {
    mkdirSync(folder, { recursive: true });
    const packages = [`node-linux-${process.arch}@${nodeVersion}`, `npm@${npmVersion}`];
    const install = [
      'install',
      '--prefix',
      folder,
      '--no-save',
      '--no-audit',
      '--no-fund',
      '--ignore-scripts',
    ];
    const result = await run('npm', [...install, ...packages]);
    if (!result.ok) throw new SetupError(`npm could not install Node: ${reason(result.output)}`);
  });
  return folder;
}

async function uiConfiguration() {
  const list = ['list', '-mod=mod', '-m', '-f', '{{.Dir}}', 'github.com/temporalio/ui-server/v2'];
  const { ok, output } = await run(findProgram('go'), list, { cwd: sources });
  if (!ok) throw new SetupError(`go could not find the UI's configuration: ${reason(output)}`);
  return join(output.trim(), 'config');
}

async function inOrder(works) {
  const results = [];
  for (const work of works) results.push(await work());
  return results;
}

/** Without BuildKit, which would need a plugin of the command line. */
function docker(env, ...args) {
  return run('docker', args, { env: { ...env, DOCKER_BUILDKIT: '0' } });
}

async function mustRun(env, what, args) {
  const { ok, output } = await docker(env, ...args);
  if (!ok) throw new SetupError(`${what}: ${output.trim().split('\n').slice(-8).join('\n')}`);
}
