// Programs that `npm run test:images` builds from Go modules, once per machine and per go.sum.
import { createHash } from 'node:crypto';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { cacheDir, findProgram } from './servers.mjs';
import { reason, run, SetupError, step, withLock } from './step.mjs';

/**
 * @param {string} name Of the folder in the cache.
 * @param {string} moduleFolder With the go.mod and go.sum that pin what is built.
 * @param {Record<string, string>} packages What to build, by the name of the program.
 * @param {string} duration How long it takes, to be said.
 * @returns {Promise<string>} The folder of the programs.
 */
export async function buildWithGo(name, moduleFolder, packages, duration) {
  if (!findProgram('go')) throw new SetupError(`building ${name} needs Go; install Go 1.26 or later`);
  const hash = createHash('sha256').update(JSON.stringify(packages));
  for (const file of ['go.mod', 'go.sum']) hash.update(readFileSync(join(moduleFolder, file)));
  const folder = join(cacheDir, 'images', `${name}-${hash.digest('hex').slice(0, 12)}`);
  if (existsSync(folder)) return folder;
  await withLock(join(cacheDir, `${name}.lock`), async () => {
    if (existsSync(folder)) return; // Another set-up did it while this one waited.
    mkdirSync(join(cacheDir, 'images'), { recursive: true });
    const building = mkdtempSync(join(cacheDir, 'images', 'building-'));
    const discard = () => rmSync(building, { recursive: true, force: true });
    process.once('exit', discard);
    try {
      const source = join(building, 'module');
      cpSync(moduleFolder, source, { recursive: true });
      for (const [program, path] of Object.entries(packages)) {
        await step(`building ${program} with go (${duration}, once per machine)`, async () => {
          const build = [
            'build',
            '-mod=mod',
            '-trimpath',
            '-ldflags=-s -w',
            '-o',
            join(building, program),
            path,
          ];
          const env = { ...process.env, CGO_ENABLED: '0' };
          const result = await run(findProgram('go'), build, { cwd: source, env });
          if (!result.ok) throw new SetupError(`go could not build ${program}: ${reason(result.output)}`);
        });
      }
      rmSync(source, { recursive: true, force: true });
      renameSync(building, folder);
    } finally {
      process.off('exit', discard);
      discard();
    }
  });
  return folder;
}
