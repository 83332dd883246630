import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import * as library from '../../src/index';

const root = resolve(__dirname, '../..');
const page = readFileSync(resolve(root, 'docs/library.md'), 'utf8');
const source = readFileSync(resolve(root, 'src/client/baton-client.ts'), 'utf8').replaceAll(
  /\/\*\* @internal .*\n.*/g,
  '',
);

const matches = (text: string, pattern: RegExp): string[] =>
  [...new Set([...text.matchAll(pattern)].map(([, name = '']) => name))].toSorted();

const exported = Object.entries(library) as [string, unknown][];

test('docs/library.md has a heading or a row for every public method of BatonClient, and for nothing else', () => {
  // Methods of the class stand at the first level; what follows a modifier other than these is private.
  const methods = matches(source, /^ {2}(?:static )?(?:async )?(?!constructor)(\w+)\(/gm);
  expect(methods).toContain('switchTo');
  expect(matches(page, /^(?:###|\|) `(?:BatonClient\.)?(\w+)\(/gm)).toEqual(methods);
});

test('docs/library.md has a row for every error class that the package exports, and for nothing else', () => {
  const errors = exported.filter(
    ([, value]) => (value as { prototype?: unknown }).prototype instanceof Error,
  );
  expect(matches(page, /^\| `(\w+Error)` /gm)).toEqual(errors.map(([name]) => name).toSorted());
});

test('beside the client and its errors the package exports only types', () => {
  expect(exported.map(([name]) => name).filter((name) => !name.endsWith('Error'))).toEqual(['BatonClient']);
});
