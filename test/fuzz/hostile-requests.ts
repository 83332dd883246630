import { connect, type Socket } from 'node:net';
import fc from 'fast-check';

/** Sends the parts to a port of this machine. Until the server closes, or it has said something and is silent. */
export const say = (
  port: number,
  parts: (string | Buffer)[],
): Promise<{ said: string; closed: boolean; socket: Socket }> =>
  new Promise((resolve) => {
    let said = '';
    const socket = connect(port, '127.0.0.1', () => parts.forEach((part) => socket.write(part)));
    const end = (closed: boolean): void => resolve({ said, closed, socket });
    socket.setTimeout(300, () => said !== '' && end(false));
    socket.on('data', (part) => (said += part.toString('latin1').slice(0, 100)));
    socket.on('error', () => undefined).on('close', () => end(true));
  });

const path = fc.oneof(
  fc.constantFrom(
    '/healthz',
    '/healthz/../metrics',
    '//healthz',
    '/%2e%2e/etc/passwd',
    '*',
    'http://x/healthz',
  ),
  fc.webPath(),
  fc.string({ maxLength: 50 }),
);
const request = fc
  .record({
    method: fc.oneof(
      fc.constantFrom('GET', 'HEAD', 'POST', 'CONNECT', 'TRACE', 'PRI', 'OPTIONS', 'get'),
      fc.string({ maxLength: 9 }),
    ),
    path,
    version: fc.constantFrom('HTTP/1.1', 'HTTP/1.0', 'HTTP/2.0', 'HTTP/9', ''),
    headers: fc.array(
      fc.constantFrom(
        'Host: x',
        'Content-Length: 9999999999999',
        'Content-Length: -1',
        'Transfer-Encoding: chunked',
        'Transfer-Encoding: chunked, identity',
        'Expect: 100-continue',
        'Upgrade: websocket\r\nConnection: Upgrade',
        `X: ${'y'.repeat(9_000)}`,
        'no colon',
        'X: \0',
      ),
      { maxLength: 3 },
    ),
  })
  .map((given) => `${given.method} ${given.path} ${given.version}\r\n${given.headers.join('\r\n')}\r\n\r\n`);
/** What somebody may send who speaks no HTTP, or too much of it. */
export const hostileRequest: fc.Arbitrary<string | Buffer> = fc.oneof(
  { weight: 3, arbitrary: request },
  { weight: 1, arbitrary: fc.uint8Array({ minLength: 1 }).map((bytes) => Buffer.from(bytes)) },
);
