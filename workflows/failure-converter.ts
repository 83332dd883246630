import { DefaultFailureConverter } from '@temporalio/common';

/**
 * A worker that seals payloads puts `sealed` in the place of `plain` (src/temporal/workflow-bundle.ts): the bundle is built
 * once, and a workflow cannot see its worker's settings.
 */
const texts: string = 'baton-failure-texts:plain';

/** Of the workflow bundle. Failures' messages and stack traces then go through the payload codec as everything else does. */
export const failureConverter = new DefaultFailureConverter({
  encodeCommonAttributes: texts.endsWith(':sealed'),
});
