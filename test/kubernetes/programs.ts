import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { BuiltProgram, goBuild } from '../../src/bench/peers/built-program';

/** The Go sources stay where they are when the tests are compiled to dist/. */
const testFolder = existsSync(join(__dirname, 'helm', 'go.mod'))
  ? resolve(__dirname, '..')
  : resolve(__dirname, '../../../test');

const helmSource = join(testFolder, 'kubernetes', 'helm');
export const helmBuild = new BuiltProgram('helm', [helmSource], 'one to two minutes', (into) => [
  goBuild(helmSource, join(into, 'helm'), 'helm.sh/helm/v3/cmd/helm'),
]);

const jobParserSource = join(testFolder, 'nomad', 'job-parser');
export const jobParserBuild = new BuiltProgram(
  'nomad-job-parser',
  [jobParserSource],
  'about a minute',
  (into) => [goBuild(jobParserSource, join(into, 'nomad-job-parser'))],
);
