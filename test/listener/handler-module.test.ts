import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { execFileSync } from 'node:child_process';

const folder = mkdtempSync(join(tmpdir(), 'baton-handler-'));
afterAll(() => rmSync(folder, { recursive: true }));

const loader = resolve(__dirname, '../../dist/src/listener/handler-module.js');

/** In a process of its own: jest's own module loader knows no dynamic import. */
function load(file: string, source?: string): string {
  const path = join(folder, file);
  if (source !== undefined) writeFileSync(path, source);
  const script =
    `require(${JSON.stringify(loader)}).loadHandler('orders', ${JSON.stringify(path)})` +
    `.then((handle) => console.log(typeof handle), (error) => console.log(error.message));`;
  return execFileSync(process.execPath, ['-e', script], { encoding: 'utf8' }).trim();
}

it.each([
  ['esm.mjs', 'export const handle = async () => {};'],
  ['default.mjs', 'export default { handle() {} };'],
  ['common.cjs', 'exports.handle = async () => {};'],
  ['computed.cjs', "module.exports = { ['han' + 'dle']: () => {} };"],
])('loads %s', (file, source) => {
  expect(load(file, source)).toBe('function');
});

it.each([
  ['none.mjs', 'export const handler = () => {};', 'its `handle` is missing'],
  ['text.mjs', "export const handle = 'no';", 'its `handle` is of type string'],
  ['broken.mjs', 'export const = 5;', 'could not be loaded'],
  ['absent.mjs', undefined, 'could not be loaded'],
])('says what is wrong with %s', (file, source, expected) => {
  const message = load(file, source);
  expect(message).toContain('locks.orders.handler');
  expect(message).toContain(join(folder, file));
  expect(message).toContain(expected);
});
