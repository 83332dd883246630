// `npm run fuzz -- --runs N --seed S [test files]`: the hostile input of `npm test`, N times as much of it, from another seed.
import { spawn } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    runs: { type: 'string', default: '10' },
    seed: { type: 'string', default: String(Date.now() % 2 ** 31) },
  },
});
for (const [name, value] of Object.entries(values))
  if (!/^\d{1,10}$/.test(value) || (name === 'runs' && Number(value) < 1)) {
    process.stderr.write(`--${name} is ${value}: must be a whole number\n`);
    process.exit(2);
  }

console.log(`fuzz: ${values.runs} times the cases of npm test, seed ${values.seed}`);
const root = dirname(dirname(fileURLToPath(import.meta.url)));
const jest = join(root, 'node_modules', 'jest', 'bin', 'jest.js');
const patterns = (positionals.length > 0 ? positionals : ['']).map((name) => `test/fuzz/.*${name}`);
const child = spawn(
  process.execPath,
  [jest, '--selectProjects', 'fast', '--maxWorkers=2', '--testPathPatterns', ...patterns],
  {
    cwd: root,
    stdio: 'inherit',
    env: { ...process.env, BATON_FUZZ_RUNS: values.runs, BATON_FUZZ_SEED: values.seed },
  },
);
child.on('exit', (code) => process.exit(code ?? 1));
