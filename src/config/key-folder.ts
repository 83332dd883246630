import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** Of AES-256. */
const keyBytes = 32;
/** What can be the id of a key; it is the file's name, and stands in every payload that the key has sealed. */
export const keyIdPattern = /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/;

/**
 * The keys in a folder by their ids: each file is a key of 32 bytes, as 64 hexadecimal digits or in base64, and its name is
 * the key's id. Names that begin with a dot are passed over, as mounted secrets have such.
 * @throws Error naming the file and never its content.
 */
export function readKeys(folder: string): Map<string, Buffer> {
  const keys = new Map<string, Buffer>();
  for (const id of readdirSync(folder).toSorted()) {
    if (id.startsWith('.')) continue;
    const file = join(folder, id);
    if (!keyIdPattern.test(id))
      throw new Error(`${file}: the name of a key is 1 to 63 letters, digits, dots, dashes or underscores`);
    const text = readFileSync(file, 'utf8').trim();
    const key = Buffer.from(text, /^[0-9a-f]{64}$/i.test(text) ? 'hex' : 'base64');
    // Node's base64 passes over what it does not know.
    if (key.length !== keyBytes || !/^([0-9a-f]{64}|[A-Za-z0-9+/]{43}=)$/i.test(text))
      throw new Error(`${file} must hold a key of 32 bytes, as 64 hexadecimal digits or in base64`);
    keys.set(id, key);
  }
  return keys;
}
