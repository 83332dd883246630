import { once } from 'node:events';
import { createServer, type Http2Server, type ServerHttp2Stream } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { GuardReader } from '../../src/etcd/guard-reader';
import { RangeSession } from '../../src/etcd/range-session';
import { LossyProxy } from '../support/lossy-proxy';
import { sharedServers } from '../support/servers';
import { eventually } from '../support/eventually';
import { LockFixture, revisionFrom } from './lock-fixture';

const limitMs = 5_000;
const endpoint = sharedServers().etcd[0] as string;
let fixture: LockFixture;
const closers: (() => unknown)[] = [];

beforeEach(() => {
  fixture = new LockFixture();
});
afterEach(async () => {
  for (const close of closers.splice(0)) await close();
  await fixture.close();
});

function sessionTo(endpoints: string[], ms = limitMs): RangeSession {
  const session = new RangeSession({ endpoints }, ms);
  closers.push(() => session.close());
  return session;
}

const frame = () => RangeSession.request(Buffer.from(fixture.keys.holder));

test('a read shows token and lease of the holder, and nobody once the key is gone', async () => {
  const session = sessionTo([endpoint]);
  await expect(session.read(frame())).resolves.toMatchObject({ owner: null });
  const me = await fixture.stand('us-east', 'a');
  const { token } = await fixture.acquire(me);
  await expect(session.read(frame())).resolves.toEqual({
    revision: revisionFrom(token),
    owner: { modRevision: token, lease: me.leaseId },
  });
  await fixture.deleteRaw(fixture.keys.holder);
  await expect(session.read(frame())).resolves.toMatchObject({ owner: null });
});

test('a key without a lease is told from one with a lease', async () => {
  await fixture.putRaw(fixture.keys.holder, 'x');
  await expect(sessionTo([endpoint]).read(frame())).resolves.toMatchObject({ owner: { lease: '0' } });
});

test('reads side by side each get their own answer', async () => {
  const session = sessionTo([endpoint]);
  const me = await fixture.stand('us-east', 'a');
  const { token } = await fixture.acquire(me);
  const other = RangeSession.request(Buffer.from(`${fixture.keys.holder}/nobody`));
  const answers = await Promise.all(
    Array.from({ length: 200 }, (_, index) => session.read(index % 2 === 0 ? frame() : other)),
  );
  for (const [index, answer] of answers.entries())
    expect(answer).toEqual({
      revision: revisionFrom(token),
      owner: index % 2 === 0 ? { modRevision: token, lease: me.leaseId } : null,
    });
});

test('an endpoint that is not there gives no answer, and the next one is asked', async () => {
  const session = sessionTo(['127.0.0.1:1', endpoint]);
  await expect(session.read(frame())).resolves.toBeUndefined();
  await eventually(async () => expect(await session.read(frame())).toMatchObject({ owner: null }));
});

test('an answer that does not come is waited for no longer than the limit; a new connection then works', async () => {
  const proxy = await LossyProxy.start(endpoint);
  closers.push(() => proxy.close());
  const session = sessionTo([proxy.address], 300);
  await eventually(async () => expect(await session.read(frame())).toMatchObject({ owner: null }));
  proxy.silencePresentConnections();
  await expect(session.read(frame())).resolves.toBeUndefined();
  await eventually(async () => expect(await session.read(frame())).toMatchObject({ owner: null }));
});

test('a connection cut under reads ends them without an answer, and the guard’s reader asks the other way', async () => {
  const proxy = await LossyProxy.start(endpoint);
  closers.push(() => proxy.close());
  const { client } = fixture.other([proxy.address], limitMs);
  const reader = new GuardReader(client);
  closers.push(() => reader.close());
  const me = await fixture.stand('us-east', 'a');
  const { token } = await fixture.acquire(me);
  const held = { revision: revisionFrom(token), holder: { token, leaseId: me.leaseId } };
  await expect(reader.readHolder(fixture.lock)).resolves.toEqual(held);
  proxy.cut();
  await expect(reader.readHolder(fixture.lock)).resolves.toEqual(held);
  await expect(reader.readHolder(fixture.lock)).resolves.toEqual(held);
});

describe('no answer is what it makes of', () => {
  const trailers = (stream: ServerHttp2Stream, status: string, body: Buffer): void => {
    stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
    stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': status }));
    stream.end(body);
  };
  const empty = Buffer.alloc(5);
  const header = Buffer.from([0, 0, 0, 0, 4, 0x0a, 2, 0x18, 7]);
  const cases: [string, (stream: ServerHttp2Stream) => void][] = [
    ['an empty message, which would read as "nobody"', (stream) => trailers(stream, '0', empty)],
    ['no message', (stream) => trailers(stream, '0', Buffer.alloc(0))],
    ['half a message', (stream) => trailers(stream, '0', header.subarray(0, 7))],
    ['a compressed message', (stream) => trailers(stream, '0', Buffer.from([1, ...header.subarray(1)]))],
    ['an error of etcd', (stream) => trailers(stream, '14', header)],
    ['a page of some other server', (stream) => stream.respond({ ':status': 404 }, { endStream: true })],
    ['a stream that is reset', (stream) => stream.close(8)],
  ];

  async function answering(answer: (stream: ServerHttp2Stream) => void): Promise<RangeSession> {
    const server: Http2Server = createServer();
    server.on('stream', (stream: ServerHttp2Stream) => {
      stream.on('error', () => {});
      answer(stream);
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    closers.push(() => server.close());
    return sessionTo([`127.0.0.1:${(server.address() as AddressInfo).port}`]);
  }

  test.each(cases)('%s', async (_name, answer) => {
    const session = await answering(answer);
    await expect(session.read(frame())).resolves.toBeUndefined();
  });

  test('(but a whole message without keys means "nobody")', async () => {
    const session = await answering((stream) => trailers(stream, '0', header));
    await expect(session.read(frame())).resolves.toMatchObject({ owner: null });
  });
});
