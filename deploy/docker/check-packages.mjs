// Compares what npm has installed with package-lock.json: the same versions, and the contents that it names.
import { readFileSync } from 'node:fs';

const packagesOf = (file) => JSON.parse(readFileSync(file, 'utf8')).packages;
const wanted = packagesOf('package-lock.json');
const installed = packagesOf('node_modules/.package-lock.json');
const wrong = Object.entries(installed).flatMap(([path, { version, integrity }]) => {
  const lock = wanted[path];
  if (lock === undefined) return [`${path}: is not in package-lock.json`];
  if (lock.version !== version) return [`${path}: ${version} instead of ${lock.version}`];
  if (!integrity || lock.integrity !== integrity) return [`${path}: other contents than the lock file's`];
  return [];
});
console.log(`${Object.keys(installed).length} packages, ${wrong.length} not as in package-lock.json`);
for (const line of wrong) console.error(line);
process.exitCode = wrong.length > 0 || Object.keys(installed).length === 0 ? 1 : 0;
