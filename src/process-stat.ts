import { readFileSync } from 'node:fs';

/**
 * What the kernel says of a process or thread in `<folder>/stat`, see proc_pid_stat(5): the fields from the third on, because
 * the second is a name that may hold anything. @throws as reading a file does, when there is none.
 */
export function processStat(folder: string): string[] {
  const text = readFileSync(`${folder}/stat`, 'latin1');
  return text.slice(text.lastIndexOf(')') + 2).split(' ');
}
