import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readTokenFile } from '../../src/dashboard/token-file';

const folder = mkdtempSync(join(tmpdir(), 'baton-tokens-'));
afterAll(() => rmSync(folder, { recursive: true }));
const file = (text: string): string => {
  const path = join(folder, 'tokens');
  writeFileSync(path, text);
  return path;
};

test('a name and a token a line', () => {
  expect(readTokenFile(file('# on call\nanna: 0123456789abcdef\n\nbert:fedcba9876543210 \n'))).toEqual([
    { who: 'anna', token: '0123456789abcdef' },
    { who: 'bert', token: 'fedcba9876543210' },
  ]);
});

test.each([
  ['0123456789abcdef', 'tokens:1: must be a line like anna: token'],
  ['anna: short', 'at least 16 characters'],
  ['anna: 0123456789abcdef\nanna: fedcba9876543210', 'tokens:2: must be neither'],
  ['# nobody', 'at least one line'],
])('%j is turned down, without its token in the message', (text, why) => {
  const error = errorOf(() => readTokenFile(file(text)));
  expect(error.name).toBe('ConfigError');
  expect(error.message.replace(' is ', ' ').replace(folder, '')).toContain(why);
  expect(error.message).not.toMatch(/0123456789abcdef|fedcba9876543210/);
});

function errorOf(work: () => unknown): Error {
  try {
    work();
  } catch (error) {
    return error as Error;
  }
  throw new Error('nothing was thrown');
}
