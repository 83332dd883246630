import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { closeConnections } from '../../src/pod/broker-fence';

interface Asked {
  method: string | undefined;
  url: string | undefined;
  authorization: string | undefined;
  reason: string | string[] | undefined;
}

const holder = { region: 'us-east', pod: 'us-east-a-1' };
const asked: Asked[] = [];
/** What the management plugin answers: a status, a list, or nothing at all. */
let answer: (method: string) => { status: number; body?: unknown } | null;
let server: Server;

beforeEach(async () => {
  asked.length = 0;
  answer = () => null;
  server = createServer(({ method = '', url, headers }, response) => {
    asked.push({ method, url, authorization: headers.authorization, reason: headers['x-reason'] });
    const given = answer(method);
    if (given) response.writeHead(given.status).end(given.body && JSON.stringify(given.body));
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
});
afterEach(async () => {
  server.closeAllConnections();
  await new Promise((done) => server.close(done));
});

const regions = (path = '', credentials = 'baton:s%40cret') => [
  {
    name: 'us-east',
    amqpUrl: '',
    managementUrl: `http://${credentials}@127.0.0.1:${(server.address() as AddressInfo).port}${path}`,
  },
  { name: 'us-west', amqpUrl: '' },
];
const connection = (name: string, of: string) => ({ name, client_properties: { connection_name: of } });
const listed = [
  connection('127.0.0.1:1 -> 127.0.0.1:2', 'baton/orders/us-east/us-east-a-1'),
  connection('of another boot', 'baton/orders/us-east/us-east-a-2'),
  connection('of another lock', 'baton/invoices/us-east/us-east-a-1'),
  { name: 'of somebody without a name', client_properties: {} },
  { name: 'of somebody without properties' },
  connection('the spare', 'baton/orders/us-east/us-east-a-1'),
];

test("only this pod's connections for this lock are closed, with the reason", async () => {
  answer = (method) => (method === 'GET' ? { status: 200, body: listed } : { status: 204 });
  await expect(closeConnections(regions('/rabbit/'), 'orders', holder)).resolves.toEqual({
    outcome: 'closed',
    closed: 2,
    why: 'the broker of us-east closed 2 connections of us-east-a-1',
  });
  const authorization = `Basic ${Buffer.from('baton:s@cret').toString('base64')}`;
  expect(asked).toEqual([
    {
      method: 'GET',
      url: '/rabbit/api/connections?columns=name,client_properties',
      authorization,
      reason: undefined,
    },
    ...['127.0.0.1%3A1%20-%3E%20127.0.0.1%3A2', 'the%20spare'].map((name) => ({
      method: 'DELETE',
      url: `/rabbit/api/connections/${name}`,
      authorization,
      reason: expect.stringContaining('by force'),
    })),
  ]);
});

test('one that is gone by itself meanwhile is closed, too', async () => {
  answer = (method) => (method === 'GET' ? { status: 200, body: listed } : { status: 404 });
  expect(await closeConnections(regions(), 'orders', holder)).toMatchObject({ outcome: 'closed', closed: 2 });
});

test('a region without an address says so, and nobody is asked', async () => {
  const { outcome, why } = await closeConnections(regions(), 'orders', { ...holder, region: 'us-west' });
  expect({ outcome, why }).toEqual({
    outcome: 'not-configured',
    why: 'no connection was closed: regions.us-west.managementUrl is not configured',
  });
  expect(asked).toEqual([]);
});

test.each([
  ['a refused login', () => ({ status: 401 }), 'it answered 401 Unauthorized'],
  ['an answer that is no list', () => ({ status: 200, body: { error: 'x' } }), 'something else than a list'],
])('%s is told, and never thrown', async (_, answers, why) => {
  answer = answers;
  const fenced = await closeConnections(regions(), 'orders', holder);
  expect(fenced).toMatchObject({ outcome: 'failed', closed: 0, why: expect.stringContaining(why) });
  expect(fenced.why).not.toContain('s@cret');
});

test('of several, how many could be closed', async () => {
  let deleted = 0;
  answer = (method) =>
    method === 'GET' ? { status: 200, body: listed } : { status: deleted++ === 0 ? 204 : 500 };
  await expect(closeConnections(regions(), 'orders', holder)).resolves.toEqual({
    outcome: 'failed',
    closed: 1,
    why: 'the broker of us-east closed 1 of 2 connections of us-east-a-1: it answered 500 Internal Server Error',
  });
});

test('a broker that does not answer costs two seconds', async () => {
  const beganMs = performance.now();
  const { why } = await closeConnections(regions(), 'orders', holder);
  expect(why).toBe(
    'the broker of us-east could not be asked to close the connections of us-east-a-1: no answer within 2 s',
  );
  expect(performance.now() - beganMs).toBeGreaterThan(1_900);
});
