import { spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { shortFormFaults } from '../../src/torture/fault-catalogue';

const program = resolve(__dirname, '../../dist/src/torture/main.js');
/** Its first minute has every kind of the short form, three planned switches, and the holder hit three times. */
const seed = '2404';
const minutes = '0.9';

let folder: string;
beforeEach(() => (folder = mkdtempSync(join(tmpdir(), 'baton-torture-test-'))));
afterEach(() => rmSync(folder, { recursive: true }));

/** On servers of its own. */
function torture(...args: string[]): Promise<{ code: number | null; stdout: string; stderr: string }> {
  const child = spawn(process.execPath, [program, ...args]);
  let [stdout, stderr] = ['', ''];
  child.stdout.on('data', (chunk: Buffer) => (stdout += String(chunk)));
  child.stderr.on('data', (chunk: Buffer) => (stderr += String(chunk)));
  return new Promise((done) => child.on('close', (code) => done({ code, stdout, stderr })));
}

test('a minute of faults and switches under load breaks no guarantee', async () => {
  const kept = join(folder, 'run');
  const only = ['--faults', shortFormFaults.join(','), '--rate', '100'];
  const run = ['--minutes', minutes, '--seed', seed, ...only, '--json', '--keep', kept];
  const { code, stdout, stderr } = await torture(...run);
  if (code !== 0) throw new Error(`exit code ${code}\n${stderr}\n${stdout}`);
  const result = JSON.parse(stdout) as {
    seed: number;
    faults: Record<string, number>;
    tenures: number;
    published: number;
    processed: number;
    violations: unknown[];
  };
  expect(result).toMatchObject({
    seed: Number(seed),
    lost: 0,
    duplicatesForbidden: 0,
    overlaps: 0,
    violations: [],
  });
  // A slow machine gets through fewer rounds in the time; the first ones come always.
  expect(result.faults['pod-freeze-long']).toBeGreaterThan(0);
  expect(result.faults['listener-kill']).toBeGreaterThan(0);
  expect(result.tenures).toBeGreaterThan(1);
  expect(result.published).toBeGreaterThan(500);
  expect(result.processed).toBe(result.published);
  expect(stderr).toContain('pod-freeze-long: holder');
  expect(readdirSync(kept)).toEqual(expect.arrayContaining(['run.json', 'ledger', 'etcd.jsonl']));
}, 600_000);

test('a wrong argument is named, and nothing is started', async () => {
  const { code, stdout, stderr } = await torture('--faults', 'pod-kil', '--json');
  expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
  expect(stderr).toMatch(/^torture: --faults has "pod-kil": must be some of .*pod-kill.*\n$/);
});
