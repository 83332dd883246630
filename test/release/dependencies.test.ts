import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

interface Locked {
  version: string;
  dev?: boolean;
  peer?: boolean;
  integrity?: string;
  resolved?: string;
  deprecated?: string;
  hasInstallScript?: boolean;
}

const root = resolve(__dirname, '../..');
const lock = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')) as {
  packages: Record<string, Locked>;
};
const script = (name: string): string => join(root, 'scripts', name);

test('the bill of materials lists each production dependency with its version and hash, and no tool of ours', () => {
  const text = execFileSync(process.execPath, [script('sbom.mjs')], {
    encoding: 'utf8',
    maxBuffer: 64 * 1024 * 1024,
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const { components, metadata } = JSON.parse(text) as {
    components: { group?: string; name: string; version: string; hashes?: unknown[] }[];
    metadata: { component: { name: string } };
  };
  const listed = components.map(
    ({ group, name, version }) => `${group === undefined ? '' : `${group}/`}${name}@${version}`,
  );
  const wanted = Object.entries(lock.packages)
    .filter(([path, { dev, peer }]) => path !== '' && !dev && !peer)
    .map(([path, { version }]) => `${path.slice(path.lastIndexOf('node_modules/') + 13)}@${version}`);
  expect(wanted.length).toBeGreaterThan(50);
  expect(wanted.filter((each) => !listed.includes(each))).toEqual([]);
  expect(listed.filter((each) => /^(jest|prettier|oxlint|typescript)@/.test(each))).toEqual([]);
  expect(components.filter(({ hashes = [] }) => hashes.length === 0)).toEqual([]);
  expect(metadata.component.name).toBe('baton');
  expect(text).not.toMatch(/registry\./);
}, 120_000);

test.each<[string, Partial<Locked>, string]>([
  ['without a hash', { integrity: '' }, 'is not pinned'],
  ['from elsewhere', { resolved: 'git+ssh://host/x.git#main' }, 'does not come from the registry'],
  ['that is deprecated', { deprecated: 'use something else' }, 'is deprecated: use something else'],
  ['with an install script', { hasInstallScript: true }, 'brings an install script'],
])('the audit refuses a production package %s', (_, change, words) => {
  const folder = mkdtempSync(join(tmpdir(), 'baton-audit-'));
  try {
    const packages = structuredClone(lock.packages);
    Object.assign(packages['node_modules/pino']!, change);
    writeFileSync(join(folder, 'lock.json'), JSON.stringify({ packages }));
    const { status, stderr } = spawnSync(process.execPath, [script('audit.mjs'), join(folder, 'lock.json')], {
      encoding: 'utf8',
    });
    expect({ status, stderr }).toEqual({ status: 1, stderr: expect.stringContaining(words) as string });
    expect(stderr).toContain('pino@');
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
