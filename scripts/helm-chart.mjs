// Writes those files of the Helm chart that say again what stands elsewhere: a chart can read nothing outside of its
// folder. `--check` writes nothing and fails where one is out of date. Needs the build: it asks the compiled schema.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parse, stringify } from 'yaml';
import { z } from 'zod';
import lockSettings from '../dist/src/config/lock-settings.js';
import schema from '../dist/src/config/schema.js';

const deploy = join(dirname(dirname(fileURLToPath(import.meta.url))), 'deploy');
const chart = join(deploy, 'helm', 'baton');
const read = (...parts) => readFileSync(join(deploy, ...parts), 'utf8');

/** They have values of their own: the chart writes these parts of baton.yaml. */
const notInConfig = ['regions', 'etcd', 'temporal', 'health'];

function valuesSchema() {
  const source = parse(read('helm', 'values.schema.source.yaml'));
  const { properties } = z.toJSONSchema(schema.fileSchema, { io: 'input', reused: 'inline' });
  for (const name of notInConfig) delete properties[name];
  // What no lock can do without, and what makes the reason of a refusal plain.
  Object.assign(properties.locks, { minProperties: 1 });
  const lock = properties.locks.additionalProperties;
  lock.required = ['queue'];
  lock.properties.queue.required = ['name'];
  source.properties.config = {
    type: 'object',
    additionalProperties: false,
    required: ['locks'],
    properties,
  };
  return `${JSON.stringify(source, null, 2)}\n`;
}

function defaults() {
  const origin = { name: 'x', folder: '/', regions: [], checkHandler: false, wrong: new Set() };
  const { drainLimitMs } = lockSettings.completeLock({}, origin).settings;
  return `# Baton's own defaults that the chart calculates with.\n${stringify({ drainLimitMs })}`;
}

const files = {
  'values.schema.json': valuesSchema(),
  'files/defaults.yaml': defaults(),
  'files/baton-alerts.yaml': read('prometheus', 'baton-alerts.yaml'),
  'files/grafana.json': read('grafana', 'baton.json'),
};

const outdated = Object.entries(files).filter(([name, content]) => contentOf(join(chart, name)) !== content);
if (process.argv.includes('--check')) {
  for (const [name] of outdated)
    process.stderr.write(`deploy/helm/baton/${name} is out of date; run: npm run chart\n`);
  process.exit(outdated.length === 0 ? 0 : 1);
}
mkdirSync(join(chart, 'files'), { recursive: true });
for (const [name, content] of outdated) writeFileSync(join(chart, name), content);

function contentOf(path) {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined; // Not written yet.
  }
}
