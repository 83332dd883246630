import { spawnSync } from 'node:child_process';
import { resolve } from 'node:path';

/** All the rest of the chart is tested by `npm run test:kubernetes`, which needs helm and an API server. */
test('the files that the chart repeats are up to date', () => {
  const script = resolve(__dirname, '../../scripts/helm-chart.mjs');
  const { status, stderr } = spawnSync(process.execPath, [script, '--check'], { encoding: 'utf8' });
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
});
