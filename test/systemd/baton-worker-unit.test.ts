import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { findProgram } from '../../src/dev/find-program';
import { completeLock } from '../../src/config/lock-settings';
import { stopLimitMs } from '../../src/config/stop-limit';

const unitFile = resolve(__dirname, '../../deploy/systemd/baton-worker@.service');
const text = readFileSync(unitFile, 'utf8');
/** Of ten: 0 is nothing that could be attacked, 10 a service without any hardening. */
const exposureLimit = 2;

let folder: string;
let unit: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'unit-'));
  unit = join(folder, 'baton-worker@us-east.service');
  // This machine's node may be elsewhere.
  writeFileSync(unit, text.replace('/usr/bin/node', process.execPath));
});
afterAll(() => rmSync(folder, { recursive: true }));

function analyze(...args: string[]): { status: number | null; output: string } {
  const { status, stdout, stderr } = spawnSync(findProgram('systemd-analyze'), [...args, unit], {
    encoding: 'utf8',
    env: { ...process.env, SYSTEMD_PAGER: '' },
  });
  return { status, output: `${stdout}${stderr}` };
}

test('systemd finds nothing to say about the unit', () => {
  expect(analyze('verify')).toEqual({ status: 0, output: '' });
});

test(`systemd calls it exposed by at most ${exposureLimit} of 10`, () => {
  const { status, output } = analyze('security', '--offline=true', `--threshold=${exposureLimit * 10}`);
  expect(output).toMatch(/Overall exposure level for baton-worker@us-east.service: [\d.]+/);
  expect({ status, output }).toMatchObject({ status: 0 });
});

test('its time to stop is what Baton counts with by default', () => {
  const origin = { name: 'x', folder: '/', regions: [], checkHandler: false, wrong: new Set<string>() };
  const { settings } = completeLock({}, origin);
  expect(text).toContain(`\nTimeoutStopSec=${stopLimitMs({ locks: [settings] }) / 1_000}\n`);
});

test('it starts what the package has', () => {
  const program = /^ExecStart=\/usr\/bin\/node \/opt\/baton\/node_modules\/baton\/(\S+) worker$/m.exec(
    text,
  )?.[1];
  const { bin } = JSON.parse(readFileSync(resolve(__dirname, '../../package.json'), 'utf8')) as {
    bin: { baton: string };
  };
  expect(program).toBe(bin.baton);
});
