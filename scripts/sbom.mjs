// The bill of materials of what Baton brings into production, in CycloneDX: `npm run sbom` prints it, with a file's path writes it.
// From the lock file alone and without a time, so that the same release has the same one.
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const { name, packages } = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8'));
// Not with --omit=dev: npm then leaves out what a production package needs as soon as a tool needs it too.
const command = ['sbom', '--package-lock-only', '--sbom-format=cyclonedx'];
const bom = JSON.parse(
  execFileSync('npm', command, {
    cwd: root,
    encoding: 'utf8',
    maxBuffer: 64 * 1024 * 1024,
    stdio: ['ignore', 'pipe', 'inherit'],
  }),
);
const production = new Set(
  Object.entries(packages)
    .filter(([path, { dev, peer }]) => path !== '' && !dev && !peer)
    .map(([path, { version }]) => `${path.slice(path.lastIndexOf('node_modules/') + 13)}@${version}`),
);
const isWanted = (reference) => production.has(reference) || reference === bom.metadata.component['bom-ref'];
bom.components = bom.components.filter((component) => isWanted(component['bom-ref']));
bom.dependencies = bom.dependencies
  .filter(({ ref }) => isWanted(ref))
  .map(({ ref, dependsOn = [] }) => ({ ref, dependsOn: dependsOn.filter(isWanted) }));
delete bom.serialNumber;
delete bom.metadata.timestamp;
// npm names it after the folder that it is in.
bom.metadata.component.name = name;
const text = `${JSON.stringify(bom, null, 2)}\n`;
const [file] = process.argv.slice(2);
if (file === undefined) process.stdout.write(text);
else writeFileSync(file, text);
