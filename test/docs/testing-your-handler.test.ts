import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import * as testing from '../../src/testing';

const root = resolve(__dirname, '../..');
const page = readFileSync(resolve(root, 'docs/testing-your-handler.md'), 'utf8');
const source = readFileSync(resolve(root, 'src/testing/test-system.ts'), 'utf8');

const names = (text: string, pattern: RegExp): string[] =>
  [...new Set([...text.matchAll(pattern)].map(([, name = '']) => name))].toSorted();

test('docs/testing-your-handler.md has every option and every public member, and no other', () => {
  const [options = '', system = ''] = page.split('\n## The system\n');
  const given = /interface TestSystemOptions \{([\s\S]*?)\n\}/.exec(source)?.[1] ?? '';
  expect(names(options, /^\| `(\w+)`/gm)).toEqual(names(given, /^ {2}(\w+)\?:/gm));

  const members = source
    .slice(source.indexOf('export class TestSystem'))
    .replaceAll(/\/\*\* @internal \*\/\n.*\n/g, '')
    .replaceAll(/constructor\([\s\S]*?\n {2}\}\n/g, '');
  const shown = (system.split('\n## The verdict\n')[0] ?? '')
    .split('\n')
    .filter((line) => line.startsWith('| `'))
    .flatMap((line) => names(line.split('|')[1] ?? '', /`(\w+)/g));
  expect(shown.toSorted()).toEqual(names(members, /^ {2}(?:readonly |get |async )?(?!private)(\w+)[(:]/gm));
});

test('the package exports what the page imports, and its class', () => {
  expect(Object.keys(testing).toSorted()).toEqual(['TestSystem', 'startTestSystem']);
});
