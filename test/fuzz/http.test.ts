import { once } from 'node:events';
import { createServer, type RequestListener, type Server } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import fc from 'fast-check';
import pino from 'pino';
import type { HookSettings } from '../../src/config/config';
import { closeConnections } from '../../src/pod/broker-fence';
import { HealthServer } from '../../src/pod/health-server';
import { askHook } from '../../src/pod/hook';
import { fuzzLimitMs, fuzzRuns } from './fuzz-runs';
import { hostileRequest, say } from './hostile-requests';

jest.setTimeout(fuzzLimitMs(60_000));

describe('the health server', () => {
  const source = {
    identity: { region: 'here', pod: 'p' },
    locks: ['orders'],
    health: () => ({ ok: true, why: 'well' }),
    check: () => ({ ok: true, why: 'well', lock: 'orders' }),
    metrics: () => Promise.resolve('baton_build_info 1\n'),
  };
  const server = new HealthServer({ host: '127.0.0.1', port: 0 }, source, pino({ level: 'silent' }));
  let port = 0;
  beforeAll(async () => ({ port } = await server.open()));
  afterAll(() => server.close());

  /** Over a connection of its own. */
  const alive = async (): Promise<number> =>
    (await fetch(`http://127.0.0.1:${port}/healthz`, { headers: { connection: 'close' } })).status;

  it('answers whatever it is asked, or hangs up, and lives', async () => {
    const asked = fc.sample(hostileRequest, fuzzRuns(120));
    const answers = await Promise.all(
      // What is no whole request is ended, so that nobody waits for the rest of it.
      asked.map(async (each) => {
        const { said, socket } = await say(port, [each, '\r\n\r\n']);
        socket.destroy();
        return said;
      }),
    );
    for (const said of answers)
      expect(said).toMatch(/^$|^HTTP\/1\.1 (?:100|200|400|404|405|408|411|417|431|501|505) /);
    expect(answers.some((said) => said.includes(' 400 '))).toBe(true);
    expect(await alive()).toBe(200);
  });

  it('is reached again soon after slow senders have taken every connection', async () => {
    const slow = Array.from({ length: 256 }, () => connect(port, '127.0.0.1').on('error', () => undefined));
    const drip = setInterval(() => slow.forEach((socket) => socket.writable && socket.write('X')), 500);
    try {
      await Promise.all(slow.map((socket) => once(socket, 'connect')));
      slow.forEach((socket) => socket.write('GET /healthz HTTP/1.1\r\nX: '));
      await expect(alive()).rejects.toThrow('fetch failed');
      const began = Date.now();
      let status = 0;
      while (status !== 200 && Date.now() - began < 40_000) {
        await new Promise((resolve) => setTimeout(resolve, 200));
        status = await alive().catch(() => 0);
      }
      expect(status).toBe(200);
      // The limit for a request and the interval of the check; Node's own interval is 30 s.
      expect(Date.now() - began).toBeLessThan(20_000);
    } finally {
      clearInterval(drip);
      for (const socket of slow) socket.destroy();
    }
  });
});

describe('what Baton calls', () => {
  let answer: RequestListener;
  let server: Server;
  let address = '';
  beforeAll(async () => {
    server = createServer((request, response) => answer(request, response));
    await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
    address = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  });
  afterAll(async () => {
    server.closeAllConnections();
    await new Promise((done) => server.close(done));
  });
  const endless: RequestListener = (_, response) => {
    const more = (): void => {
      while (!response.destroyed && response.write(Buffer.alloc(1_000_000, 'x')));
    };
    response.on('drain', more).on('error', () => undefined);
    more();
  };
  const trickle: RequestListener = (_, response) => {
    const timer = setInterval(() => response.write('x'), 50);
    response.on('close', () => clearInterval(timer)).on('error', () => undefined);
  };
  const answers: [string, RequestListener][] = [
    ['endless', endless],
    ['one byte after the other', trickle],
    ['nothing', () => undefined],
    ['binary', (_, response) => response.end(Buffer.from([0, 255, 254, 1, 0x1b, 0x5b]))],
    ['itself again', (_, response) => response.writeHead(302, { location: '/' }).end()],
    ['a hang-up', (request) => request.socket.destroy()],
    ['headers without end', (_, response) => response.writeHead(200, { x: 'y'.repeat(100_000) }).end()],
    ['no list', (_, response) => response.end('{"name": 1}')],
    [
      'a list of nothing',
      (_, response) => response.end('[null, 1, {"name": 5}, [], {"client_properties": 3}]'),
    ],
  ];
  const question = {
    ...{
      lock: 'orders',
      hook: 'h',
      stage: 'before-release' as const,
      switchId: 's',
      to: null,
      reason: 'x',
      by: 'y',
    },
    ...{ from: { region: 'here', pod: 'p', token: 7 }, receipt: null },
  };

  it.each(answers)('%s: bounded in time and memory', async (what, listener) => {
    answer = listener;
    const before = process.memoryUsage().rss;
    const began = Date.now();
    const hook = {
      name: 'h',
      at: 'before-release',
      url: `http://${address}/`,
      timeoutMs: 1_000,
      onFailure: 'stop',
    };
    const said = await askHook({ ...hook, folder: '/' } as HookSettings, question);
    expect(said.why.length).toBeLessThanOrEqual(4_096);
    const failing = ['itself again', 'nothing', 'a hang-up', 'headers without end'];
    expect(failing.includes(what) ? said.verdict : 'failed').toBe('failed');
    const regions = [{ name: 'here', amqpUrl: '', managementUrl: `http://a:b@${address}` }];
    const fence = await closeConnections(regions, 'orders', { region: 'here', pod: 'p' });
    expect(fence).toMatchObject({ outcome: what === 'a list of nothing' ? 'closed' : 'failed', closed: 0 });
    expect(Date.now() - began).toBeLessThan(20_000);
    expect(process.memoryUsage().rss - before).toBeLessThan(500_000_000);
  });
});
