import { readFileSync } from 'node:fs';

/** A secret's text; editors and `echo` end it with a line break. Throws when the file is gone, naming its path only. */
export const readSecretFile = (file: string): string => readFileSync(file, 'utf8').replace(/\r?\n$/, '');

/** What stands in the file now; what was read at the start while it cannot be read. */
export function currentSecret(file: string | undefined, atStart: string): string {
  if (file === undefined) return atStart;
  try {
    return readSecretFile(file) || atStart;
  } catch {
    // Being replaced, or gone: the server says whether the old one still counts.
    return atStart;
  }
}
