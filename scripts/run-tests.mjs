// `npm test`: starts the shared servers once, then runs jest for each project: first the tests that can share the
// machine, then those that cannot. Arguments go to jest. Its last line is the sum: `N passed, N failed` (and `, N skipped`).
import { spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import testEnvironment from '../dist/test/support/test-environment.js';
import { whenInterrupted } from './interruption.mjs';

/** What jest gets to end by itself after an interruption; then the reaper ends it. */
const INTERRUPT_GRACE_MS = 2_000;

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const jest = join(root, 'node_modules', 'jest', 'bin', 'jest.js');
/** Files with real pods at a time, each with a Temporal of its own: they mostly wait. */
const podFiles = 2;
const projects = [
  { name: 'fast', options: ['--maxWorkers=4'] },
  { name: 'pods', options: [`--maxWorkers=${podFiles}`] },
  { name: 'serial', options: ['--runInBand'] },
];

let interrupted = false;
let running;
let exitCode = 0;
whenInterrupted((code, signal) => {
  process.stderr.write(`interrupted by ${signal}\n`);
  interrupted = true;
  exitCode = code;
  running?.kill('SIGTERM');
  setTimeout(() => running?.kill('SIGKILL'), INTERRUPT_GRACE_MS).unref();
});

const total = { passed: 0, failed: 0, skipped: 0 };
try {
  const { folder, variables, stop } = await testEnvironment.startTestEnvironment(podFiles);
  try {
    for (const project of projects) {
      if (interrupted) break;
      await runProject(project, folder, { ...process.env, ...variables });
    }
  } finally {
    await stop();
  }
} catch (error) {
  process.stderr.write(`${error.message}\n`);
  total.failed += 1;
}

if (interrupted) process.exit(exitCode);
if (total.passed + total.failed === 0) {
  process.stderr.write(`no test matches ${process.argv.slice(2).join(' ')}\n`);
  total.failed = 1;
}
const skipped = total.skipped > 0 ? `, ${total.skipped} skipped` : '';
console.log(`${total.passed} passed, ${total.failed} failed${skipped}`);
process.exit(total.failed > 0 ? 1 : 0);

async function runProject({ name, options }, folder, env) {
  const results = join(folder, `${name}.json`);
  const selected = [
    '--selectProjects',
    name,
    ...options,
    '--passWithNoTests',
    '--json',
    `--outputFile=${results}`,
  ];
  const child = spawn(process.execPath, [jest, ...selected, ...process.argv.slice(2)], {
    cwd: root,
    env,
    // The results go to the file; what people read goes to stderr.
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  running = child;
  const code = await new Promise((resolve) => {
    child.once('exit', (status) => resolve(status ?? 1));
    child.once('error', () => resolve(1));
  });
  running = undefined;
  if (interrupted) return;
  if (!existsSync(results)) {
    process.stderr.write(`jest ended with ${code} and without results\n`);
    total.failed += 1;
    return;
  }
  const counts = JSON.parse(readFileSync(results, 'utf8'));
  total.passed += counts.numPassedTests;
  total.skipped += counts.numPendingTests + counts.numTodoTests;
  // A file that cannot be loaded has no failed tests, but is one; so is a failure outside of any test.
  const failed = counts.numFailedTests + counts.numRuntimeErrorTestSuites;
  total.failed += failed === 0 && code !== 0 ? 1 : failed;
}
