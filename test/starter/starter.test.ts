import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { transformSync } from '@swc/core';
import packageJson from '../../package.json';
import { loadConfig } from '../../src/config/load-config';
import { languages, starterFiles } from '../../src/starter/starter';
import { writeStarter } from '../../src/starter/write-starter';

const main = resolve(__dirname, '../../dist/src/cli/main.js');
let folder = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'baton-init-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

const init = (...argv: string[]) =>
  spawnSync(process.execPath, [main, 'init', ...argv], { cwd: folder, encoding: 'utf8' });
const below = (path: string): string[] =>
  readdirSync(path, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map(({ name, parentPath }) => join(parentPath, name).slice(path.length + 1))
    .toSorted();

test.each(languages)('%s: writes every file, says which, and how to go on', (language) => {
  const { status, stdout, stderr } = init('My Shop', '--language', language);
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  const written = below(join(folder, 'My Shop'));
  expect(written).toEqual(expect.arrayContaining(['.env', '.gitignore', 'Dockerfile', 'compose.yaml']));
  expect(written).toContain(`src/handler.${language}`);
  for (const path of written) expect(stdout).toContain(`\n  ${path}\n`);
  expect(stdout).toContain("  cd 'My Shop'\n  npm install\n  npm test ");
  const manifest = JSON.parse(readFileSync(join(folder, 'My Shop', 'package.json'), 'utf8')) as object;
  expect(manifest).toMatchObject({ name: 'my-shop', dependencies: { baton: packageJson.version } });
});

test.each(languages)('%s: leaves no placeholder, and its configuration can be used', (language) => {
  const files = starterFiles(folder, language);
  expect(files.filter(({ content }) => /@[A-Z]+@|__[A-Z]+__/.test(content))).toEqual([]);
  writeStarter(folder, files);
  const config = loadConfig({ env: {}, cwd: folder, checkHandlers: false });
  expect(config.regions.map(({ name }) => name)).toEqual(['us-east', 'us-west']);
  const handler = language === 'ts' ? 'dist/src/handler.js' : 'src/handler.js';
  expect(config.locks[0]?.handler).toBe(join(folder, handler));
});

test('two projects have two secrets, and git ignores them', () => {
  const secret = (): string => starterFiles(folder, 'js').find(({ path }) => path === '.env')!.content;
  expect(secret()).toMatch(/^RABBITMQ_PASSWORD=[\da-f]{32}$/m);
  expect(secret()).not.toBe(secret());
  const ignored = starterFiles(folder, 'js').find(({ path }) => path === '.gitignore')!.content;
  expect(ignored.split('\n')).toContain('.env');
});

describe('what is there already is never touched', () => {
  test('files of its own names: all are named, nothing is written, exit code 2', () => {
    mkdirSync(join(folder, 'src'));
    for (const path of ['baton.yaml', 'src/handler.ts']) writeFileSync(join(folder, path), 'mine');
    const { status, stdout, stderr } = init();
    expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
    expect(stderr).toBe(
      `baton: nothing was written: in ${folder} there is already baton.yaml, src/handler.ts\n`,
    );
    expect(below(folder)).toEqual(['baton.yaml', 'src/handler.ts']);
    expect(readFileSync(join(folder, 'baton.yaml'), 'utf8')).toBe('mine');
  });

  test('a file where a folder is wanted: nothing is written', () => {
    writeFileSync(join(folder, 'src'), 'mine');
    const { status, stderr } = init();
    expect(status).toBe(2);
    expect(stderr).toContain('there is already src/handler.ts, src/order-journal.ts');
    expect(below(folder)).toEqual(['src']);
  });

  test('one that comes up while the others are written: those are taken away again', () => {
    const files = starterFiles(folder, 'js');
    const last = files.at(-1)!;
    mkdirSync(join(folder, 'test'));
    writeFileSync(join(folder, last.path), 'mine');
    expect(() => writeStarter(folder, files)).toThrow(/EEXIST/);
    expect(below(folder)).toEqual([last.path]);
  });

  test('a folder that cannot be made: exit code 2, with the reason', () => {
    writeFileSync(join(folder, 'taken'), 'mine');
    const { status, stderr } = init('taken');
    expect(status).toBe(2);
    expect(stderr).toContain('nothing was written');
    expect(readFileSync(join(folder, 'taken'), 'utf8')).toBe('mine');
  });
});

test.each([
  [['--language', 'py'], '--language is py: must be ts or js'],
  [['a', 'b'], 'baton init takes no argument "b"'],
  [['--langauge', 'js'], 'unknown option --langauge; did you mean language?'],
])('bad input ends with 2, and nothing is written: baton init %j', (argv, expected) => {
  const { status, stderr } = init(...argv);
  expect(status).toBe(2);
  expect(stderr).toContain(expected);
  expect(readdirSync(folder)).toEqual([]);
});

test('the JavaScript files are the TypeScript ones without their types', () => {
  const plain = (code: string): string =>
    transformSync(code, {
      jsc: { parser: { syntax: 'typescript' }, target: 'es2022', preserveAllComments: false },
      module: { type: 'es6' },
    }).code;
  const ofKind = (language: 'ts' | 'js'): [string, string][] =>
    starterFiles(folder, language)
      .filter(({ path }) => path.endsWith(`.${language}`))
      .map(({ path, content }) => [path.replace(/\.[tj]s$/, ''), plain(content)]);
  expect(ofKind('js')).toEqual(ofKind('ts'));
});
