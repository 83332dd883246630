import { join } from 'node:path';
import type { DataConverter } from '@temporalio/common';
import type { TemporalAddress } from '../config/config';
import { KeyRing, type MissingKeyError } from './key-ring';
import { SealingCodec } from './payload-codec';
import { distFolder } from './workflow-bundle';

/**
 * Of every client and worker. Also without encryption: a payload that somebody has sealed must be refused by name, and not
 * be taken for one that is broken.
 */
export function dataConverterOf(
  { encryption }: TemporalAddress,
  onMissingKey?: (error: MissingKeyError) => void,
): DataConverter {
  const { keysFolder = null, keyId = null } = encryption ?? {};
  return {
    payloadCodecs: [new SealingCodec(new KeyRing(keysFolder, keyId), onMissingKey)],
    ...(keyId !== null && {
      failureConverterPath: join(distFolder, 'src', 'temporal', 'failure-converter.js'),
    }),
  };
}
