import { DefaultFailureConverter } from '@temporalio/common';

/** Of workers that seal payloads, loaded by its path: the texts of activities' failures are made payloads too. */
export const failureConverter = new DefaultFailureConverter({ encodeCommonAttributes: true });
