import { readFileSync } from 'node:fs';
import { createSecureContext } from 'node:tls';
import { ConfigError } from '../config/config-error';
import type { ServerTls } from '../dashboard/http-server';
import type { OptionSpec } from './command-line';

/** Options of the commands that serve pages. */
export const tlsOptions = {
  'cert-file': { value: 'FILE', help: 'PEM certificate, to serve HTTPS; together with --key-file' },
  'key-file': { value: 'FILE', help: 'PEM key of the certificate' },
  'client-ca-file': { value: 'FILE', help: 'whoever connects needs a certificate of this authority' },
} as const satisfies Record<string, OptionSpec>;

/** `undefined`: plain HTTP. @throws ConfigError naming the option. */
export function serverTlsOf(options: { [K in keyof typeof tlsOptions]: string | undefined }):
  ServerTls | undefined {
  const given = Object.keys(tlsOptions).filter(
    (name) => options[name as keyof typeof tlsOptions] !== undefined,
  );
  const { 'cert-file': certFile, 'key-file': keyFile, 'client-ca-file': clientCaFile } = options;
  if (given.length === 0) return undefined;
  if (certFile === undefined || keyFile === undefined) {
    const missing = certFile === undefined ? '--cert-file' : '--key-file';
    throw new ConfigError([{ setting: missing, expected: `must be given together with --${given[0]}` }]);
  }
  const check = (setting: string, value: string, context: (pem: Buffer) => object): void => {
    try {
      createSecureContext(context(readFileSync(value)));
    } catch (error) {
      throw new ConfigError([
        { setting, value, expected: `must be a PEM file that can be used: ${(error as Error).message}` },
      ]);
    }
  };
  check('--cert-file', certFile, (cert) => ({ cert }));
  check('--key-file', keyFile, (key) => ({ key, cert: readFileSync(certFile) }));
  if (clientCaFile !== undefined) check('--client-ca-file', clientCaFile, (ca) => ({ ca }));
  return { certFile, keyFile, ...(clientCaFile !== undefined && { clientCaFile }) };
}
