// `npm run docs:config`: makes the tables of docs/configuration.md from the code. `--check` writes nothing, and ends with
// 1 when the page is not what it would write.
import { readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import * as prettier from 'prettier';
import { configurationPage } from '../dist/src/config/configuration-page.js';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const file = join(root, 'docs', 'configuration.md');
const before = readFileSync(file, 'utf8');
const options = { ...(await prettier.resolveConfig(file)), filepath: file };
const after = await prettier.format(configurationPage(before), options);
if (after === before) console.log('docs/configuration.md is current');
else if (process.argv.includes('--check')) {
  console.error('docs/configuration.md is not current; run: npm run docs:config');
  process.exit(1);
} else {
  writeFileSync(file, after);
  console.log('docs/configuration.md was made anew');
}
