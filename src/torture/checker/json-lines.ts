import { existsSync, readFileSync } from 'node:fs';

export type Json = Record<string, unknown>;

/**
 * The objects of a JSON Lines file. A last line that is torn, because its process was killed while writing, is left
 * out; any other line that is no object is told to `complain`. `null` when the file is not there.
 */
export function readJsonLines(file: string, complain: (problem: string) => void): Json[] | null {
  if (!existsSync(file)) return null;
  const lines = readFileSync(file, 'utf8').split('\n');
  const objects: Json[] = [];
  lines.forEach((line, i) => {
    if (line.trim() === '') return;
    const json = parseObject(line);
    if (json) objects.push(json);
    else if (i < lines.length - 1)
      complain(`line ${i + 1} of ${file} is not a JSON object: ${line.slice(0, 80)}`);
  });
  return objects;
}

/** `null` for a file that is not there. */
export function readJsonFile(file: string, complain: (problem: string) => void): Json | null {
  if (!existsSync(file)) return null;
  const json = parseObject(readFileSync(file, 'utf8'));
  if (!json) complain(`${file} is not a JSON object`);
  return json;
}

function parseObject(text: string): Json | null {
  try {
    return asObject(JSON.parse(text));
  } catch {
    // Told by the caller, who knows the place.
    return null;
  }
}

export const asObject = (value: unknown): Json | null =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Json) : null;
export const asText = (value: unknown, otherwise = ''): string =>
  typeof value === 'string' || typeof value === 'number' ? String(value) : otherwise;
/** A number, or its decimal digits. */
export function asNumber(value: unknown): number | null {
  if (value === null || value === undefined || value === '') return null;
  const number = Number(value);
  return Number.isFinite(number) ? number : null;
}
export const asList = (value: unknown): unknown[] => (Array.isArray(value) ? value : []);
