import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import type { BenchResult, Goal } from '../../src/bench/bench';
import { readBenchFile } from '../../src/bench/bench-file';
import { sharedServers } from '../support/servers';

const program = resolve(__dirname, '../../dist/src/bench/main.js');

let folder: string;
beforeEach(() => (folder = mkdtempSync(join(tmpdir(), 'baton-bench-test-'))));
afterEach(() => rmSync(folder, { recursive: true }));

/** On the run's shared servers; only Toxiproxy is its own. */
function runBench(...args: string[]): Promise<{ code: number | null; stdout: string; stderr: string }> {
  const { etcd, rabbitmq, temporal } = sharedServers();
  const child = spawn(process.execPath, [program, ...args], {
    cwd: folder,
    env: {
      ...process.env,
      ...{ BATON_DEV_ETCD: etcd.join(','), BATON_DEV_RABBITMQ: rabbitmq, BATON_DEV_TEMPORAL: temporal },
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let [stdout, stderr] = ['', ''];
  child.stdout.on('data', (chunk: Buffer) => (stdout += String(chunk)));
  child.stderr.on('data', (chunk: Buffer) => (stderr += String(chunk)));
  return new Promise((done) => child.on('close', (code) => done({ code, stdout, stderr })));
}

test('the bench measures planned switches and loses nothing', async () => {
  const skipped = ['etcd election', 'client-go', 'curator'].flatMap((name) => ['--skip', name]);
  const files = ['--out', 'results.json', '--html', 'report.html'];
  const { code, stdout, stderr } = await runBench(
    'switch',
    '--quick',
    '--rounds',
    '1',
    '--json',
    ...skipped,
    ...files,
  );
  expect([code, code === 0 ? '' : stderr]).toEqual([0, '']);

  const line = JSON.parse(stdout.trimEnd().split('\n').at(-1)!) as { results: BenchResult[]; goals: Goal[] };
  expect(Object.keys(line.results[0]!)).toEqual([
    ...['bench', 'variant', 'system', 'n', 'unit', 'p50', 'p95', 'p99', 'max'],
  ]);
  expect(line.results.map(({ variant, system, n }) => `${variant}: ${system} ${n}`)).toEqual(
    ['near', '40 ms', '80 ms'].flatMap((variant) => [
      `${variant}: baton 1`,
      `${variant}: single active consumer 1`,
    ]),
  );
  expect(line.goals.find(({ goal }) => goal === 'planned switch: nothing lost, nothing twice')).toMatchObject(
    {
      measured: expect.stringMatching(/^0 lost, 0 duplicates of \d{3,} messages$/) as string,
      met: true,
    },
  );

  const saved = readBenchFile('--compare', join(folder, 'results.json'));
  expect(saved.results.every(({ samples, n }) => samples.length === n)).toBe(true);
  expect(saved.conditions).toMatchObject({ node: process.version });
  expect(readFileSync(join(folder, 'report.html'), 'utf8')).toContain('<svg');
  expect(stderr).toContain('etcd election was skipped (--skip)');
}, 120_000);

test('bad input ends it with one sentence and exit code 2, before anything is started', async () => {
  const { code, stderr } = await runBench('switch', '--compare', 'nowhere.json');
  expect(code).toBe(2);
  expect(stderr).toMatch(/^bench: --compare is "nowhere.json": must be a file written by --out \(.*\)\n$/);
});
