/**
 * Where a load generator that runs apart from the pods notes what the broker has confirmed, beside their ledgers: one
 * number a line, in files of its own.
 */
import { appendFileSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const pattern = /^published-.*\.txt$/;

export class LoadFile {
  private readonly path: string;

  /** `run` tells the files of several load generators apart. */
  constructor(folder: string, run: string) {
    this.path = join(folder, `published-${run}.txt`);
  }

  append(confirmed: Iterable<number>): void {
    const lines = [...confirmed].map((seq) => `${seq}\n`);
    if (lines.length > 0) appendFileSync(this.path, lines.join(''));
  }
}

/** Of all files of the folder. A last line without its newline is left out: its writer was killed. */
export function readPublished(folder: string): Set<number> {
  const published = new Set<number>();
  for (const name of readdirSync(folder).filter((each) => pattern.test(each))) {
    const lines = readFileSync(join(folder, name), 'latin1').split('\n').slice(0, -1);
    for (const line of lines) published.add(Number(line));
  }
  return published;
}
