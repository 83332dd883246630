import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { configurationPage } from '../../src/config/configuration-page';
import { overrides } from '../../src/config/environment';
import { lockDocs } from '../../src/config/setting-docs';

const root = resolve(__dirname, '../..');
const page = readFileSync(resolve(root, 'docs/configuration.md'), 'utf8');

test('docs/configuration.md is what npm run docs:config makes', () => {
  const check = [resolve(root, 'scripts/configuration-page.mjs'), '--check'];
  const { status, stdout, stderr } = spawnSync(process.execPath, check, { encoding: 'utf8' });
  expect({ status, said: stdout + stderr }).toEqual({
    status: 0,
    said: 'docs/configuration.md is current\n',
  });
});

test('every environment variable stands in it', () => {
  expect(overrides.map(({ variable }) => variable).filter((name) => !page.includes(name))).toEqual([]);
});

test('a setting without a meaning, and a meaning without a setting, end the making', () => {
  const { beatMs: taken, ...rest } = lockDocs;
  try {
    delete lockDocs['beatMs'];
    lockDocs['beatsMs'] = taken!;
    expect(() => configurationPage(page)).toThrow(
      'src/config/setting-docs.ts: beatMs has no meaning\n' +
        'src/config/setting-docs.ts: beatsMs has a meaning and is no setting',
    );
  } finally {
    delete lockDocs['beatsMs'];
    Object.assign(lockDocs, rest, { beatMs: taken });
  }
});

test('a default, a bound and a rule come from the code', () => {
  const row = (setting: string): string[] =>
    (page.split('\n').find((line) => line.startsWith(`| \`${setting}\` `)) ?? '')
      .split('|')
      .map((cell) => cell.trim());
  expect(row('leaseTtlMs').slice(2, 4)).toEqual(['number, ms', '10,000']);
  expect(row('deadlineMarginMs')[3]).toBe('1,000 (a tenth of `leaseTtlMs`, at least 500)');
  expect(row('queue.heartbeatSeconds').slice(2, 5)).toEqual(['whole number, s', '5', '1 to 60']);
  expect(row('etcd.password').at(-2)).toBe('`BATON_ETCD_PASSWORD` or `BATON_ETCD_PASSWORD_FILE`');
});
