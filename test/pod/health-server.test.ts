import { request } from 'node:http';
import { connect } from 'node:net';
import pino from 'pino';
import { type HealthPort, HealthServer } from '../../src/pod/health-server';

const silent = pino({ level: 'silent' });
const state = { healthy: true, ready: true };
const source: HealthPort = {
  identity: { region: 'us-east', pod: 'us-east-a-1' },
  locks: ['orders', 'invoices'],
  health: () => ({
    ok: state.healthy,
    why: state.healthy ? 'no tenure is late' : 'orders is past its deadline',
  }),
  // `invoices` is always fine, but for what nobody has asked of it.
  check: (what, lock) => {
    const ok = lock === 'invoices' ? what !== 'holder' : state.ready;
    return { lock, ok, why: ok ? `${what} is fine` : 'broker away' };
  },
  metrics: () => Promise.resolve('baton_build_info{version="1"} 1\n'),
};

const server = new HealthServer({ host: '127.0.0.1', port: 0 }, source, silent);
let port = 0;
beforeAll(async () => ({ port } = await server.open()));
afterAll(() => server.close());
beforeEach(() => Object.assign(state, { healthy: true, ready: true }));

function ask(
  path: string,
  method = 'GET',
  headers: Record<string, string> = {},
): Promise<{ status: number; type: string; body: string }> {
  return new Promise((resolve, reject) => {
    const asked = request({ host: '127.0.0.1', port, path, method, headers }, (response) => {
      let body = '';
      response.setEncoding('utf8').on('data', (part: string) => (body += part));
      response.on('end', () =>
        resolve({ status: response.statusCode ?? 0, type: response.headers['content-type'] ?? '', body }),
      );
    });
    asked.on('error', reject).end();
  });
}

test('healthz says why', async () => {
  expect(await ask('/healthz')).toMatchObject({ status: 200, type: 'application/json' });
  state.healthy = false;
  const answer = await ask('/healthz');
  expect(answer.status).toBe(503);
  const { at, ...rest } = JSON.parse(answer.body) as { at: string };
  expect(rest).toEqual({
    ok: false,
    why: 'orders is past its deadline',
    region: 'us-east',
    pod: 'us-east-a-1',
  });
  expect(Math.abs(Date.parse(at) - Date.now())).toBeLessThan(10_000);
  expect((await ask('/livez')).status).toBe(503);
});

test('readyz names the locks', async () => {
  expect((await ask('/readyz')).status).toBe(200);
  state.ready = false;
  const answer = await ask('/readyz?verbose');
  expect(answer.status).toBe(503);
  expect(JSON.parse(answer.body)).toMatchObject({
    why: 'orders: broker away',
    locks: [
      { lock: 'orders', ok: false },
      { lock: 'invoices', ok: true },
    ],
  });
});

test.each(['/holder', '/standby', '/startupz', '/readyz'])(
  '%s is asked for one lock or for all',
  async (page) => {
    const isHolder = page === '/holder';
    expect((await ask(`${page}/orders`)).status).toBe(200);
    expect((await ask(`${page}?lock=orders`)).status).toBe(200);
    // Of several locks, all must be so.
    expect((await ask(page)).status).toBe(isHolder ? 503 : 200);
    expect((await ask(`${page}?lock=orders&lock=invoices`)).status).toBe(isHolder ? 503 : 200);
    state.ready = false;
    expect((await ask(`${page}/orders`)).status).toBe(503);
    expect((await ask(`${page}/invoices`)).status).toBe(isHolder ? 503 : 200);
  },
);

test('a lock that the pod does not have is named, and is no lock that nobody holds', async () => {
  for (const path of ['/holder/order', '/standby?lock=order', '/readyz?lock=%00']) {
    const answer = await ask(path);
    expect(answer.status).toBe(404);
    expect(JSON.parse(answer.body)).toMatchObject({
      ok: false,
      why: expect.stringContaining('it has orders'),
    });
  }
  for (const path of ['/holder/orders/x', '/constructor', '/toString/orders'])
    expect((await ask(path)).status).toBe(404);
});

test('metrics are Prometheus text', async () => {
  const answer = await ask('/metrics');
  expect(answer.type).toContain('version=0.0.4');
  expect(answer.body).toBe('baton_build_info{version="1"} 1\n');
});

test('HEAD has no body; other methods and paths are turned down', async () => {
  expect(await ask('/healthz', 'HEAD')).toMatchObject({ status: 200, body: '' });
  expect((await ask('/healthz', 'POST')).status).toBe(405);
  expect((await ask('/nothing')).status).toBe(404);
  expect((await ask('/healthz', 'GET', { big: 'x'.repeat(20_000) })).status).toBe(431);
});

test('a failing source is a 500 without its words', async () => {
  const broken = new HealthServer(
    { host: '127.0.0.1', port: 0 },
    { ...source, metrics: () => Promise.reject(new Error('secret')) },
    silent,
  );
  const { port: other } = await broken.open();
  const answer = await fetch(`http://127.0.0.1:${other}/metrics`);
  expect(answer.status).toBe(500);
  expect(await answer.text()).not.toContain('secret');
  await broken.close();
});

test('a port in use is named', async () => {
  const second = new HealthServer({ host: '127.0.0.1', port }, source, silent);
  await expect(second.open()).rejects.toThrow(`health server cannot listen on 127.0.0.1:${port}: `);
  await second.close();
});

test('close may be repeated, and cuts a connection that stays open', async () => {
  const closing = new HealthServer({ host: '127.0.0.1', port: 0 }, source, silent);
  const { port: other } = await closing.open();
  const socket = connect(other, '127.0.0.1');
  const cut = new Promise((resolve) => socket.on('close', resolve).on('error', () => undefined));
  await new Promise((resolve) => socket.on('connect', resolve));
  await Promise.all([closing.close(), closing.close()]);
  await cut;
  await closing.close();
  expect(socket.destroyed).toBe(true);
});
