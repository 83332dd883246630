// Builds the release before this one (test/upgrade/previous-release.json) from its commit, for the tests that roll pods
// from it to the present code. Prints the folder as its last line. The second run takes a fraction of a second.
import { spawnSync } from 'node:child_process';
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
} from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { reason, run, say, SetupError, step, withLock } from './step.mjs';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const pinned = join('test', 'upgrade', 'previous-release.json');
// Not below node_modules: the compiler takes what is there for other people's, and leaves some of it out.
const cache = join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'baton');

try {
  console.log(await previousRelease());
} catch (error) {
  if (!(error instanceof SetupError)) throw error;
  say(error.message);
  process.exit(1);
}

async function previousRelease() {
  mkdirSync(cache, { recursive: true });
  const { commit } = JSON.parse(readFileSync(join(root, pinned), 'utf8'));
  const folder = join(cache, `release-${commit}`);
  if (existsSync(folder)) return linked(folder);
  // An asked-for object that is missing, a shallow clone or no clone at all: all mean the same to whoever runs this.
  if (spawnSync('git', ['cat-file', '-e', `${commit}^{commit}`], { cwd: root }).status !== 0)
    throw new SetupError(
      `${pinned} names commit ${commit}, which is not in this clone; run by hand: git fetch --unshallow (or --all)`,
    );
  await withLock(join(cache, 'release.lock'), async () => {
    if (existsSync(folder)) return; // Another run did it while this one waited.
    const building = mkdtempSync(join(cache, 'building-'));
    try {
      await step(`building the previous release (${commit.slice(0, 7)})`, () => build(commit, building));
      renameSync(building, folder);
    } finally {
      rmSync(building, { recursive: true, force: true });
    }
  });
  return linked(folder);
}

/** With this clone's packages, unless it has its own: the clone that it was built from may be gone. */
function linked(folder) {
  const link = join(folder, 'node_modules');
  const wanted = join(root, 'node_modules');
  const found = lstatSync(link, { throwIfNoEntry: false });
  if (found && (!found.isSymbolicLink() || readlinkSync(link) === wanted)) return folder;
  rmSync(link, { force: true });
  symlinkSync(wanted, link);
  return folder;
}

async function build(commit, folder) {
  const archive = join(folder, 'source.tar');
  await must('git', ['archive', '--output', archive, commit], root);
  await must('tar', ['-x', '-f', archive, '-C', folder], root);
  rmSync(archive);
  if (hasPackagesOf(folder)) symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'));
  else await must('npm', ['install', '--no-save', '--no-audit', '--no-fund'], folder);
  await must(join(root, 'node_modules', '.bin', 'tsc'), ['-p', folder], folder);
  await must(process.execPath, [join('dist', 'src', 'build-workflow-bundle.js')], folder);
}

/** Whether what the release depends on is installed here, in the very versions that it names. */
function hasPackagesOf(folder) {
  const of = (path) => JSON.parse(readFileSync(join(path, 'package.json'), 'utf8'));
  const [before, now] = [of(folder), of(root)];
  const present = { ...now.devDependencies, ...now.dependencies };
  const needed = Object.entries({ ...before.devDependencies, ...before.dependencies });
  return needed.every(([name, version]) => present[name] === version);
}

async function must(command, args, cwd) {
  const result = await run(command, args, { cwd });
  if (!result.ok) throw new SetupError(`${command} ${args.join(' ')} failed: ${reason(result.output)}`);
}
