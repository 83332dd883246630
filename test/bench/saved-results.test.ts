import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import type { BenchFile } from '../../src/bench/bench-file';
import { runBench } from '../../src/bench/main';
import { UsageError } from '../../src/cli/command-line';

const kept = resolve(__dirname, '../../docs/bench/0.1.0-switch.json');

let folder: string;
let written: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'baton-saved-'));
  written = '';
  jest.spyOn(process.stdout, 'write').mockImplementation((text) => {
    written += String(text);
    return true;
  });
});
afterEach(() => {
  jest.restoreAllMocks();
  rmSync(folder, { recursive: true, force: true });
});

const html = (): string[] => ['--html', join(folder, 'report.html')];

test('a run that was kept is reported, with its own conditions, and nothing is measured', async () => {
  const { conditions, goals } = JSON.parse(readFileSync(kept, 'utf8')) as BenchFile;
  await expect(runBench(['--results', kept, ...html()])).resolves.toBe(0);
  expect(written).toContain(conditions.date);
  for (const { goal } of goals) expect(written).toContain(goal);
  expect(readFileSync(join(folder, 'report.html'), 'utf8')).toContain('etcd election');
});

test('two such runs are compared, with the exit code for what became slower', async () => {
  await expect(runBench(['--results', kept, '--compare', kept, ...html()])).resolves.toBe(0);
  expect(written).toMatch(/no change beyond the noise/);
  const content = JSON.parse(readFileSync(kept, 'utf8')) as BenchFile;
  for (const result of content.results)
    if (result.system === 'baton') {
      result.samples = result.samples.map((sample) => 3 * sample);
      result.p50 *= 3;
    }
  const slow = join(folder, 'slow.json');
  writeFileSync(slow, JSON.stringify(content));
  await expect(runBench(['--results', slow, '--compare', kept, ...html()])).resolves.toBe(1);
  expect(written).toMatch(/near, baton: SLOWER/);
});

test('a file that is none is refused before anything else', async () => {
  const none = join(folder, 'none.json');
  await expect(runBench(['--results', none])).rejects.toThrow(UsageError);
  await expect(runBench(['--results', none])).rejects.toThrow(`--results is "${none}"`);
});
