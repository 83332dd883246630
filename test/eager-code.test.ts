import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

const eagerCode = resolve(__dirname, '../dist/src/eager-code.js');

let folder: string;
beforeEach(() => (folder = mkdtempSync(join(tmpdir(), 'baton-eager-'))));
afterEach(() => rmSync(folder, { recursive: true, force: true }));

test('functions of modules that are loaded eagerly are compiled before they are called, and only those', () => {
  for (const name of ['own', 'others'])
    writeFileSync(join(folder, `${name}.js`), 'exports.work = function work() { return 1; };');
  // A bit of what V8 says to its own tests: not compiled yet.
  writeFileSync(
    join(folder, 'main.js'),
    `const { compileEagerly, compileLazily } = require(${JSON.stringify(eagerCode)});
     const isCompiled = (work) => (%GetOptimizationStatus(work) & (1 << 18)) === 0;
     compileEagerly();
     const own = require('./own.js');
     compileLazily();
     console.log(JSON.stringify([own, require('./others.js')].map(({ work }) => isCompiled(work))));`,
  );
  const said = execFileSync(process.execPath, ['--allow-natives-syntax', join(folder, 'main.js')]);
  expect(JSON.parse(String(said))).toEqual([true, false]);
});
