import { request } from 'node:http';
import { connect } from 'node:net';
import pino from 'pino';
import { type HealthPort, HealthServer } from '../../src/pod/health-server';

const silent = pino({ level: 'silent' });
const state = { healthy: true, ready: true };
const source: HealthPort = {
  health: () => ({
    ok: state.healthy,
    why: state.healthy ? 'no tenure is late' : 'orders is past its deadline',
  }),
  readiness: () => {
    const why = state.ready ? 'ready' : 'orders: broker away';
    return { ok: state.ready, why, locks: [{ lock: 'orders', ok: state.ready, why }] };
  },
  metrics: () => Promise.resolve('baton_info{version="1"} 1\n'),
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
  expect(JSON.parse(answer.body)).toEqual({ ok: false, why: 'orders is past its deadline' });
});

test('readyz names the locks', async () => {
  expect((await ask('/readyz')).status).toBe(200);
  state.ready = false;
  const answer = await ask('/readyz?verbose');
  expect(answer.status).toBe(503);
  expect(JSON.parse(answer.body)).toMatchObject({
    why: 'orders: broker away',
    locks: [{ lock: 'orders', ok: false }],
  });
});

test('metrics are Prometheus text', async () => {
  const answer = await ask('/metrics');
  expect(answer.type).toContain('version=0.0.4');
  expect(answer.body).toBe('baton_info{version="1"} 1\n');
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
