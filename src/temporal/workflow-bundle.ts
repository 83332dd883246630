import { readFileSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';

/** dist/, from the compiled file in dist/src/temporal and from its source in src/temporal alike. */
const above = resolve(__dirname, '..', '..');
export const distFolder = basename(above) === 'dist' ? above : join(above, 'dist');

/** The workflows' code as the workers run it, built by build-workflow-bundle.ts. */
export const workflowBundlePath = join(distFolder, 'workflow-bundle.js');

/** The same code for workers that seal payloads: the texts of its failures are made payloads too. @throws Error naming the file. */
export function sealedWorkflowBundle(path = workflowBundlePath): string {
  const code = readFileSync(path, 'utf8');
  const sealed = code.replaceAll('baton-failure-texts:plain', 'baton-failure-texts:sealed');
  if (sealed === code) throw new Error(`${path} was built without its failure converter`);
  return sealed;
}
