import path from 'node:path';
import type { PayloadEncryption } from './config';
import type { ConfigProblem } from './config-error';
import { readKeys } from './key-folder';

type Given = { keysFolder?: string | undefined; keyId?: string | undefined };

/** The keys themselves are read where they are used; here only so that a folder without them is found at the start. */
export function checkEncryption(
  given: Given | undefined,
  wrong: Set<string>,
  folder: string,
  problems: ConfigProblem[],
): PayloadEncryption | undefined {
  if (given === undefined) return undefined;
  const setting = 'temporal.encryption.keysFolder';
  const { keysFolder, keyId } = given;
  if (keysFolder === undefined) {
    if (!wrong.has(setting))
      problems.push({ setting, expected: 'must be given: a folder with a file for each key' });
    return undefined;
  }
  const absolute = path.resolve(folder, keysFolder);
  try {
    const ids = [...readKeys(absolute).keys()];
    if (keyId !== undefined && !ids.includes(keyId))
      problems.push({
        setting: 'temporal.encryption.keyId',
        value: keyId,
        expected: `must be the name of a file in ${absolute}${ids.length > 0 ? `, which has ${ids.join(', ')}` : ''}`,
      });
  } catch (error) {
    problems.push({
      setting,
      value: keysFolder,
      expected: `must be a folder of keys: ${(error as Error).message}`,
    });
  }
  return { keysFolder: absolute, ...(keyId !== undefined && { keyId }) };
}
