import { readFileSync } from 'node:fs';
import { connect, type AddressInfo, type Socket } from 'node:net';
import { createServer, type Server } from 'node:tls';
import type { Certificate } from './certificates';

/** Takes HTTP/2 connections with TLS and passes them on in the clear, for a server that speaks no TLS itself. */
export class TlsProxy {
  private readonly server: Server;
  private readonly sockets = new Set<Socket>();

  /** With an authority, clients need a certificate of it. */
  constructor(target: string, { certFile, keyFile }: Certificate, clientCaFile?: string) {
    const { hostname, port } = new URL(`tcp://${target}`);
    this.server = createServer(
      {
        cert: readFileSync(certFile),
        key: readFileSync(keyFile),
        ALPNProtocols: ['h2'],
        ...(clientCaFile !== undefined && {
          ca: readFileSync(clientCaFile),
          requestCert: true,
          rejectUnauthorized: true,
        }),
      },
      (client) => {
        const upstream = connect(Number(port), hostname);
        for (const [from, to] of [
          [client, upstream],
          [upstream, client],
        ] as const) {
          this.sockets.add(from);
          from.on('error', () => to.destroy());
          from.on('close', () => {
            to.destroy();
            this.sockets.delete(from);
          });
          from.pipe(to);
        }
      },
    );
    // Handshakes that fail are what it is there for.
    this.server.on('tlsClientError', () => {});
  }

  /** Resolves to `127.0.0.1:port`. */
  listen(): Promise<string> {
    return new Promise((resolve) => {
      this.server.listen(0, '127.0.0.1', () => {
        resolve(`127.0.0.1:${(this.server.address() as AddressInfo).port}`);
      });
    });
  }

  /** Idempotent. */
  close(): void {
    for (const socket of this.sockets) socket.destroy();
    this.server.close();
  }
}
