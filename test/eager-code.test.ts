import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

const eagerCode = resolve(__dirname, '../dist/src/eager-code.js');
const run = (...args: string[]): unknown => JSON.parse(String(execFileSync(process.execPath, args)));

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
  expect(run('--allow-natives-syntax', join(folder, 'main.js'))).toEqual([true, false]);
});

test('where it learns at once, one call leaves what it has learned, and many leave no code half optimized', () => {
  writeFileSync(
    join(folder, 'main.js'),
    `if (process.argv[2] === 'at once') require(${JSON.stringify(eagerCode)}).learnAtOnce();
     const loads = (count) => Array.from({ length: count }, (_, i) => 's += o.a' + (i % 7) + ' | 0;').join('');
     const make = (count) => new Function('return function (o) { let s = 0;' + loads(count) + 'return s; }')();
     const heap = () => { gc(); return process.memoryUsage().heapUsed; };
     const once = make(5_000);
     const before = heap();
     once({});
     const learned = heap() - before;
     const often = Array.from({ length: 30 }, () => make(300));
     for (let i = 0; i < 40; i += 1) for (const each of often) each({});
     console.log(JSON.stringify({ learned, halfOptimized: %ActiveTierIsSparkplug(often[0]) }));`,
  );
  const [usual, atOnce] = ['', 'at once'].map(
    (how) =>
      run('--allow-natives-syntax', '--expose-gc', join(folder, 'main.js'), how) as {
        learned: number;
        halfOptimized: boolean;
      },
  );
  expect([usual!.halfOptimized, atOnce!.halfOptimized]).toEqual([true, false]);
  // A slot of feedback for each load.
  expect(atOnce!.learned - usual!.learned).toBeGreaterThan(5_000 * 8);
});
