import { readFileSync } from 'node:fs';
import type { TlsFiles } from './config';

/** For Node's TLS: what is given, read now. Throws when a file is gone. */
export function readTlsFiles({ caFile, certFile, keyFile }: TlsFiles): {
  ca?: Buffer;
  cert?: Buffer;
  key?: Buffer;
} {
  return {
    ...(caFile !== undefined && { ca: readFileSync(caFile) }),
    ...(certFile !== undefined && { cert: readFileSync(certFile) }),
    ...(keyFile !== undefined && { key: readFileSync(keyFile) }),
  };
}

export const tlsFilesOf = ({ caFile, certFile, keyFile }: TlsFiles): TlsFiles => ({
  ...(caFile !== undefined && { caFile }),
  ...(certFile !== undefined && { certFile }),
  ...(keyFile !== undefined && { keyFile }),
});

export const hasTlsFiles = (files: TlsFiles): boolean => Object.keys(tlsFilesOf(files)).length > 0;
