import { lstatSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { StarterFile } from './starter';

/** Those of the files that are there already, in whatever form. */
export const alreadyThere = (folder: string, files: StarterFile[]): string[] =>
  files.map(({ path }) => path).filter((path) => isThere(join(folder, path)));

/**
 * Writes all files, over none: one that has come up meanwhile ends it, too. When one cannot be written, those that were
 * are taken away again.
 * @throws Error of the file system, with the path.
 */
export function writeStarter(folder: string, files: StarterFile[]): void {
  const written: string[] = [];
  try {
    for (const { path, content } of files) {
      const file = join(folder, path);
      mkdirSync(dirname(file), { recursive: true });
      writeFileSync(file, content, { flag: 'wx' });
      written.push(file);
    }
  } catch (error) {
    for (const file of written) rmSync(file, { force: true });
    throw error;
  }
}

function isThere(path: string): boolean {
  try {
    lstatSync(path);
    return true;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    // A file stands where a folder is wanted: that is in the way as well.
    if (code === 'ENOENT') return false;
    return true;
  }
}
