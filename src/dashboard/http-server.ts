import { readFileSync } from 'node:fs';
import { createServer, type RequestListener, type Server } from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import { CredentialFiles } from '../config/credential-files';

/** Paths of PEM files, read again when they are replaced. */
export interface ServerTls {
  certFile: string;
  keyFile: string;
  /** Browsers then need a certificate of this authority. Default: none. */
  clientCaFile?: string;
}

const limits = { maxHeaderSize: 16_384, headersTimeout: 10_000, requestTimeout: 30_000 };

/** HTTP, or HTTPS with `tls`. @throws Error when its files do not belong together. */
export function createHttpServer(tls: ServerTls | undefined, listener: RequestListener): Server {
  if (!tls) return createServer(limits, listener);
  const { certFile, keyFile, clientCaFile } = tls;
  const read = (): { cert: Buffer; key: Buffer; ca?: Buffer } => ({
    cert: readFileSync(certFile),
    key: readFileSync(keyFile),
    ...(clientCaFile !== undefined && { ca: readFileSync(clientCaFile) }),
  });
  const demand = clientCaFile !== undefined && { requestCert: true, rejectUnauthorized: true };
  const server = createSecureServer({ ...limits, ...read(), ...demand }, listener);
  const files = new CredentialFiles({
    certFile,
    keyFile,
    ...(clientCaFile !== undefined && { caFile: clientCaFile }),
  });
  // Before its handshake.
  server.prependListener('connection', () => {
    const state = files.replaced();
    if (state === null) return;
    server.setSecureContext(read());
    files.accept(state);
  });
  return server;
}
