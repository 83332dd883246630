import { isIP } from 'node:net';
import { connect } from 'node:tls';

export interface TlsOptions {
  ca?: Buffer;
  cert?: Buffer;
  key?: Buffer;
  servername?: string;
}

const limitMs = 2_000;
/** How an HTTP/2 client begins, with no settings. Whoever answers it has accepted our certificate. */
const greeting = Buffer.concat([
  Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'),
  Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]),
]);

/** OpenSSL's and Node's codes and alerts, in words; the first that fits. */
const sentences: [pattern: RegExp, sentence: string][] = [
  [/alert certificate expired|alert.*expired/i, 'it does not accept our certificate, which has expired'],
  [/SSL alert|tlsv1.*alert|sslv3 alert/i, 'it does not accept our certificate'],
  [/CERT_HAS_EXPIRED|certificate has expired/i, 'its certificate has expired'],
  [/CERT_NOT_YET_VALID/i, 'its certificate is not valid yet'],
  [/ALTNAME|altname/, 'its certificate is for another name'],
  [
    /UNABLE_TO_|SELF_SIGNED|self.signed|unable to (?:verify|get)/i,
    'its certificate is not from an authority trusted here',
  ],
  [/WRONG_VERSION_NUMBER|wrong version number/i, 'it does not speak TLS'],
  [/ERR_SSL|ERR_TLS|ERR_OSSL|EPROTO|key values mismatch/i, 'no secure connection'],
];

/** What the error says about a certificate, as a sentence with the original words; `null`: it is about something else. */
export function tlsSentence(error: unknown): string | null {
  const { code = '', message = String(error) } = error as { code?: unknown; message?: string };
  const found = sentences.find(([pattern]) => pattern.test(`${String(code)} ${message}`));
  return found ? `${found[1]} (${message.trim().split('\n')[0]})` : null;
}

/**
 * Why there can be no TLS connection to the gRPC server at `host:port`, or `null`: also when nobody answers there. Made for a diagnosis,
 * where a client library only says that it could not connect. Takes two seconds at most.
 */
export function whyNotSecure(address: string, options: TlsOptions): Promise<string | null> {
  const { hostname, port } = new URL(`tls://${address}`);
  const host = hostname.replace(/^\[|\]$/g, '');
  return new Promise((resolve) => {
    let socket: ReturnType<typeof connect> | undefined;
    const limit = setTimeout(() => end(null), limitMs);
    const end = (why: string | null): void => {
      clearTimeout(limit);
      socket?.destroy();
      resolve(why);
    };
    try {
      socket = connect({
        host,
        port: Number(port),
        ALPNProtocols: ['h2'],
        ...(isIP(host) === 0 && { servername: host }),
        ...options,
      });
    } catch (error) {
      // A key that does not belong to its certificate, say.
      return end(tlsSentence(error) ?? String(error));
    }
    socket.on('error', (error) => end(tlsSentence(error)));
    // A server looks at a client's certificate when the client believes the handshake to be over (TLS 1.3).
    socket.once('secureConnect', () => socket?.write(greeting));
    socket.once('data', () => end(null));
    socket.once('close', () => end(null));
  });
}
