// Checks what Baton brings with it into production: `npm run audit`, part of .ci/run. First what the lock file alone tells, which
// is the same everywhere; then known vulnerabilities, which only a registry can tell, and not every registry does.
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Production packages that may run a script when they are installed, and why. */
const allowedInstallScripts = {
  protobufjs: 'prints a note about its own version',
  '@swc/core': 'looks whether the binary package for this platform is there',
};
const askLimitMs = 60_000;

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const lockFile = process.argv[2] ?? join(root, 'package-lock.json');
const problems = offlineProblems(JSON.parse(readFileSync(lockFile, 'utf8')));
if (process.argv[2] === undefined) problems.push(...vulnerabilities());
for (const problem of problems) console.error(`audit: ${problem}`);
process.exit(problems.length > 0 ? 1 : 0);

function offlineProblems({ packages }) {
  const production = Object.entries(packages).filter(([path, { dev, peer }]) => path !== '' && !dev && !peer);
  const found = production.flatMap(
    ([path, { version, integrity, resolved, deprecated, hasInstallScript }]) => {
      const name = path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length);
      const which = `${name}@${version}`;
      return [
        !integrity?.startsWith('sha512-') && `${which} is not pinned by a sha512 hash`,
        resolved !== undefined && `${which} does not come from the registry by its name: ${resolved}`,
        deprecated !== undefined && `${which} is deprecated: ${deprecated}`,
        hasInstallScript &&
          !Object.hasOwn(allowedInstallScripts, name) &&
          `${which} brings an install script that is not on the list of scripts/audit.mjs`,
      ].filter(Boolean);
    },
  );
  console.log(
    `audit: ${production.length} production packages: hashes, origin, deprecation, install scripts`,
  );
  return found;
}

function vulnerabilities() {
  const { stdout } = spawnSync('npm', ['audit', '--json', '--omit=dev', '--audit-level=high'], {
    cwd: root,
    encoding: 'utf8',
    timeout: askLimitMs,
    env: { ...process.env, npm_config_fetch_retries: '0' },
  });
  let report;
  try {
    report = JSON.parse(stdout);
  } catch {
    report = {};
  }
  if (!report.metadata?.vulnerabilities) {
    const why = report.message ?? report.error?.summary ?? 'no answer';
    console.log(
      `audit: NOT checked for known vulnerabilities: the registry does not tell (${firstLine(why)})`,
    );
    return [];
  }
  const serious = Object.values(report.vulnerabilities ?? {}).filter(({ severity }) =>
    ['high', 'critical'].includes(severity),
  );
  console.log(`audit: known vulnerabilities: ${JSON.stringify(report.metadata.vulnerabilities)}`);
  return serious.map(
    ({ name, severity, range }) => `${name} ${range} has a known vulnerability (${severity})`,
  );
}

/** Without the registry's address: what CI prints is read by everybody. */
function firstLine(text) {
  return String(text)
    .split('\n')[0]
    .replace(/https?:\/\/\S+/g, 'its address');
}
