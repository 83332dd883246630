import { basename, join, resolve } from 'node:path';

/** dist/, from the compiled file in dist/src/temporal and from its source in src/temporal alike. */
const above = resolve(__dirname, '..', '..');
export const distFolder = basename(above) === 'dist' ? above : join(above, 'dist');

/** The workflows' code as the workers run it, built by build-workflow-bundle.ts. */
export const workflowBundlePath = join(distFolder, 'workflow-bundle.js');
