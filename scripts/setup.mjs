// Makes everything available that Baton's demo and tests need: node packages, the build, the servers.
// Run by `npm run demo`, `npm test` and `npm run bench`; a second run takes a fraction of a second. `--test` adds what
// only tests and the bench need.
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { whenInterrupted } from './interruption.mjs';
import { installServers, reportServers } from './servers.mjs';
import { endChildren, reason, run, say, SetupError, step, withLock } from './step.mjs';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const inRoot = (...parts) => join(root, ...parts);
// In node_modules because that is ignored by everything.
const lock = inRoot('node_modules', '.baton-lock');
const began = Date.now();

whenInterrupted((exitCode) => {
  endChildren();
  process.exit(exitCode);
});

try {
  // The servers need no node packages, so the longest installs (compiling Temporal) run beside the rest.
  const results = await Promise.allSettled([
    installPackages().then(build),
    installServers({ forTests: process.argv.includes('--test') }),
  ]);
  const failures = results.filter((result) => result.status === 'rejected').map((result) => result.reason);
  for (const error of failures) {
    if (!(error instanceof SetupError)) throw error;
    for (const line of error.message.split('\n')) say(line);
  }
  if (failures.length > 0) process.exit(1);
  reportServers();
  say(`everything is there (${((Date.now() - began) / 1000).toFixed(1)} s)`);
} catch (error) {
  say(`unexpected: ${error.message}`);
  process.exit(1);
}

async function installPackages() {
  const stamp = inRoot('node_modules', '.baton-packages');
  const wanted = fingerprint([inRoot('package-lock.json')], (path) => readFileSync(path));
  if (read(stamp) === wanted) return;
  await withLock(lock, async () => {
    if (read(stamp) === wanted) return;
    await step('installing node packages with npm', async () => {
      // Not `npm ci`: it refuses a lock file without the optional packages of other platforms, and some registries
      // do not serve those. `--no-save` keeps to the lock file's versions and leaves the file as it is.
      const install = ['install', '--no-save', '--no-audit', '--no-fund'];
      const result = await run('npm', install, { cwd: root });
      if (!result.ok) {
        throw new SetupError(
          `npm could not install the packages (${reason(result.output)}); run by hand: npm install`,
        );
      }
    });
    writeFileSync(stamp, wanted);
  });
}

async function build() {
  const stamp = inRoot('dist', '.baton-build');
  const folders = ['workflows', 'activities', 'src', 'test']
    .map((folder) => inRoot(folder))
    .filter(existsSync);
  const sources = [inRoot('tsconfig.json'), inRoot('package-lock.json'), ...folders.flatMap(typescriptBelow)];
  const wanted = () =>
    fingerprint(sources, (path) => {
      const { mtimeMs, size } = statSync(path);
      return `${mtimeMs} ${size}`;
    });
  if (read(stamp) === wanted()) return;
  await withLock(lock, async () => {
    const compiled = wanted();
    if (read(stamp) === compiled) return;
    await step('compiling', async () => {
      const result = await run(inRoot('node_modules', '.bin', 'tsc'), ['-p', root], { cwd: root });
      if (!result.ok) {
        throw new SetupError(`${result.output.trim()}\ncompiling failed; run by hand: npm run build`);
      }
    });
    const bundler = inRoot('dist', 'src', 'build-workflow-bundle.js');
    if (existsSync(bundler)) {
      await step('bundling the workflows', async () => {
        const result = await run(process.execPath, [bundler], { cwd: root });
        if (!result.ok) {
          throw new SetupError(
            `the workflows could not be bundled (${reason(result.output)}); run by hand: node dist/src/build-workflow-bundle.js`,
          );
        }
      });
    }
    mkdirSync(inRoot('dist'), { recursive: true });
    writeFileSync(stamp, compiled);
  });
}

function typescriptBelow(folder) {
  return readdirSync(folder, { recursive: true })
    .filter((name) => name.endsWith('.ts'))
    .toSorted()
    .map((name) => join(folder, name));
}

/** One value that changes when a file is added, removed, or `describe` says something else about it. */
function fingerprint(paths, describe) {
  const hash = createHash('sha256');
  for (const path of paths) hash.update(path).update('\0').update(describe(path)).update('\0');
  return hash.digest('hex');
}

function read(path) {
  return existsSync(path) ? readFileSync(path, 'utf8') : undefined;
}
