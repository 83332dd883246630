import { request } from 'node:http';
import { request as secureRequest } from 'node:https';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import type { TLSSocket } from 'node:tls';
import { defaultPayloadConverter, type Payload } from '@temporalio/common';
import { CodecServer, type CodecServerOptions } from '../../src/codec/codec-server';
import { decodePayloads, encodePayloads } from '../../src/codec/payload-json';
import { KeyRing } from '../../src/temporal/key-ring';
import { SealingCodec } from '../../src/temporal/payload-codec';
import { Authority } from '../support/certificates';
import { eventually } from '../support/eventually';

const folder = mkdtempSync(join(tmpdir(), 'baton-codec-'));
writeFileSync(join(folder, 'k1'), 'ab'.repeat(32));
const codec = new SealingCodec(new KeyRing(folder, 'k1'));
const uiOrigin = 'https://ui.example.com';
const servers: CodecServer[] = [];

async function serve(options: Partial<CodecServerOptions> = {}): Promise<string> {
  const server = new CodecServer({ codec, host: '127.0.0.1', port: 0, uiOrigin, tokens: [], ...options });
  servers.push(server);
  return server.open();
}
afterEach(async () => {
  for (const server of servers.splice(0)) await server.close();
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const json = { 'content-type': 'application/json' };
const post = (url: string, body: string, headers: Record<string, string> = json): Promise<Response> =>
  fetch(url, { method: 'POST', body, headers });
const plain: Payload = defaultPayloadConverter.toPayload({ reason: 'maintenance' });

test('what /encode has sealed, /decode opens', async () => {
  const url = await serve();
  const sealed = await (await post(`${url}/encode`, JSON.stringify(encodePayloads([plain])))).text();
  expect(sealed).not.toContain(Buffer.from('maintenance').toString('base64').slice(0, 8));
  const opened = decodePayloads(await (await post(`${url}/decode`, sealed)).text());
  expect(defaultPayloadConverter.fromPayload(opened![0]!)).toEqual({ reason: 'maintenance' });
});

test("a page of the UI's origin may ask, and reach this machine; a page of another one may not", async () => {
  const url = await serve();
  const preflight = await fetch(`${url}/decode`, {
    method: 'OPTIONS',
    headers: { origin: uiOrigin, 'access-control-request-private-network': 'true' },
  });
  expect(preflight.status).toBe(204);
  expect(Object.fromEntries(preflight.headers)).toMatchObject({
    'access-control-allow-origin': uiOrigin,
    'access-control-allow-headers': 'content-type, x-namespace, authorization',
    'access-control-allow-private-network': 'true',
  });
  const other = await post(`${url}/decode`, '{"payloads":[]}', {
    ...json,
    origin: 'https://evil.example.com',
  });
  expect(other.status).toBe(403);
  expect(other.headers.has('access-control-allow-origin')).toBe(false);
});

test('a name that somebody has pointed at this machine gets nothing', async () => {
  const { port } = new URL(await serve());
  const status = await new Promise((done) => {
    const headers = { ...json, host: `evil.example.com:${port}` };
    request({ port, host: '127.0.0.1', path: '/decode', method: 'POST', headers }, ({ statusCode }) =>
      done(statusCode),
    ).end('{"payloads":[]}');
  });
  expect(status).toBe(421);
});

test('with tokens, whoever has none gets nothing', async () => {
  const url = await serve({ tokens: [{ who: 'anna', token: 'a-token-of-twenty-two' }] });
  const ask = (authorization: string): Promise<Response> =>
    post(`${url}/decode`, '{"payloads":[]}', { ...json, authorization });
  expect((await ask('Bearer a-token-of-twenty-two')).status).toBe(200);
  expect((await ask('Bearer another-one-as-long-as')).status).toBe(401);
  expect((await ask('')).status).toBe(401);
});

test.each([
  ['a body that is no JSON', 'decode', '{', 400],
  ['a body without payloads', 'decode', '{"payload":[]}', 400],
  ['a payload that is none', 'decode', '{"payloads":[7]}', 400],
  ['metadata that is no text', 'decode', '{"payloads":[{"metadata":{"encoding":7}}]}', 400],
  ['another path', 'secrets', '{"payloads":[]}', 404],
  ['a body that is too long', 'decode', `"${'x'.repeat(9 * 1024 * 1024)}"`, 413],
])('%s is refused', async (_, path, body, status) => {
  const url = await serve();
  // The connection may be cut while a body that is too long is still being sent.
  const answered = await post(`${url}/${path}`, body).catch(() => ({ status: 413 }));
  expect(answered.status).toBe(status);
});

test('a form, which any page can send unasked, is refused', async () => {
  const url = await serve();
  const headers = { 'content-type': 'text/plain' };
  expect((await post(`${url}/decode`, '{"payloads":[]}', headers)).status).toBe(415);
});

test('a key that is missing is said to who asks', async () => {
  const url = await serve();
  const [sealed] = await codec.encode([plain]);
  const foreign = { ...sealed!, metadata: { ...sealed!.metadata, 'baton-key-id': Buffer.from('k9') } };
  const response = await post(`${url}/decode`, JSON.stringify(encodePayloads([foreign])));
  expect(response.status).toBe(422);
  expect(await response.text()).toContain('encrypted with the key k9');
});

test('over HTTPS it wants a certificate of its authority, and shows its own new one without a restart', async () => {
  const authority = new Authority(join(folder, '..', `${basename(folder)}-ca`));
  const clientAuthority = new Authority(join(folder, '..', `${basename(folder)}-clients`));
  try {
    const { certFile, keyFile } = authority.issue('server');
    const client = clientAuthority.issue('client');
    const url = await serve({ tls: { certFile, keyFile, clientCaFile: clientAuthority.caFile } });
    const shown = (own: { cert?: Buffer; key?: Buffer }): Promise<string> =>
      new Promise((done, fail) => {
        const options = { ca: readFileSync(authority.caFile), agent: false, ...own };
        const asked = secureRequest(
          `${url}/decode`,
          { method: 'POST', headers: json, ...options },
          (response) => {
            const { serialNumber } = (response.socket as TLSSocket).getPeerCertificate();
            response.resume().on('end', () => done(`${response.statusCode} ${serialNumber}`));
          },
        );
        asked.on('error', fail).end('{"payloads":[]}');
      });
    await expect(shown({})).rejects.toThrow(/certificate|alert|reset|hang up|ECONN|EPIPE/i);
    const own = { cert: readFileSync(client.certFile), key: readFileSync(client.keyFile) };
    const before = await shown(own);
    expect(before).toMatch(/^200 /);
    authority.issue('server');
    await eventually(async () => expect(await shown(own)).not.toBe(before));
    expect(await shown(own)).toMatch(/^200 /);
  } finally {
    for (const name of ['ca', 'clients']) rmSync(`${folder}-${name}`, { recursive: true, force: true });
  }
});
