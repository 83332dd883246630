import { existsSync, readdirSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { bundleWorkflowCode } from '@temporalio/worker';
import { distFolder, workflowBundlePath } from './temporal/workflow-bundle';

/** Builds dist/workflow-bundle.js from the compiled workflows, unless it is newer than all of them. */
async function main(): Promise<void> {
  const workflows = join(distFolder, 'workflows');
  const inputs = [__filename, ...readdirSync(workflows).map((file) => join(workflows, file))];
  if (existsSync(workflowBundlePath)) {
    const builtMs = statSync(workflowBundlePath).mtimeMs;
    if (inputs.every((file) => statSync(file).mtimeMs < builtMs)) return;
  }
  const { code } = await bundleWorkflowCode({
    workflowsPath: join(workflows, 'index.js'),
    payloadConverterPath: join(workflows, 'lenient-payload-converter.js'),
    failureConverterPath: join(workflows, 'failure-converter.js'),
    logger: { ...console, trace: quiet, debug: quiet, info: quiet, log: quiet },
  });
  // A worker that starts meanwhile reads the old one or the new one, never half of it.
  const unfinished = `${workflowBundlePath}.${process.pid}`;
  writeFileSync(unfinished, code);
  renameSync(unfinished, workflowBundlePath);
}

const quiet = (): void => undefined;

main().catch((error: unknown) => {
  console.error(error);
  process.exitCode = 1;
});
