import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { HookSettings } from '../../src/config/config';
import { askHook } from '../../src/pod/hook';
import type { HookQuestion, SwitchAnswer } from '../../workflows/contract';
import { eventually } from '../support/eventually';

const folder = mkdtempSync(join(tmpdir(), 'baton-hook-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const question: HookQuestion = {
  lock: 'orders',
  hook: 'freeze',
  stage: 'before-release',
  switchId: 's1',
  from: { region: 'us-east', pod: 'e1', token: 7 },
  to: 'us-west',
  reason: 'maintenance',
  by: 'anna',
  receipt: null,
};
const settings = (call: Partial<HookSettings>): HookSettings => ({
  name: 'freeze',
  at: 'before-release',
  timeoutMs: 20_000,
  onFailure: 'stop',
  folder,
  ...call,
});
const answer = (verdict: SwitchAnswer['verdict'], why: unknown): object => ({
  stage: 'before-release',
  from: 'freeze',
  verdict,
  at: expect.stringMatching(/^2.*Z$/),
  why,
});

describe('a command', () => {
  const script = (text: string): string[] => {
    writeFileSync(join(folder, 'hook.sh'), `#!/bin/sh\n${text}\n`);
    chmodSync(join(folder, 'hook.sh'), 0o755);
    return ['./hook.sh', 'an argument'];
  };
  const ask = (text: string, timeoutMs = 20_000): Promise<SwitchAnswer> =>
    askHook(settings({ command: script(text), timeoutMs }), question);

  it('is told everything, and goes on with exit code 0', async () => {
    expect(
      await ask(
        'cat > asked.json; echo "$BATON_LOCK $BATON_SWITCH_ID $BATON_STAGE $1" > env; echo one; echo two',
      ),
    ).toEqual(answer('ok', 'two'));
    expect(JSON.parse(readFileSync(join(folder, 'asked.json'), 'utf8'))).toEqual(question);
    expect(readFileSync(join(folder, 'env'), 'utf8')).toBe('orders s1 before-release an argument\n');
  });

  it.each([
    ['exit 0', 'ok', 'exit code 0'],
    ['echo "change freeze" >&2; exit 1', 'vetoed', 'change freeze'],
    ['exit 1', 'vetoed', 'exit code 1'],
    ['echo broken; exit 2', 'failed', 'exit code 2: broken'],
    ['kill -9 $$', 'failed', 'SIGKILL'],
    // Does not read what it is told, and says far more than is kept.
    ['exec 0<&-; seq 1 100000; echo last', 'ok', 'last'],
  ] as const)('%s: %s', async (text, verdict, why) => {
    expect(await ask(text)).toEqual(answer(verdict, why));
  });

  it('that does not end in time is killed with all that it has started', async () => {
    expect(await ask('(sleep 2; touch outlived) & echo $! > child; sleep 60', 500)).toEqual(
      answer('failed', 'no answer within 500 ms'),
    );
    const child = Number(readFileSync(join(folder, 'child'), 'utf8'));
    await eventually(() => expect(() => process.kill(child, 0)).toThrow('ESRCH'));
    expect(existsSync(join(folder, 'outlived'))).toBe(false);
  });

  it('that does not exist has failed', async () => {
    const asked = await askHook(settings({ command: ['./none.sh'] }), question);
    expect(asked).toEqual(answer('failed', expect.stringContaining('ENOENT')));
  });
});

describe('an address', () => {
  let server: Server;
  const asked: unknown[] = [];
  async function serve(respond: RequestListener): Promise<string> {
    server = createServer(respond).listen(0, '127.0.0.1');
    await new Promise((resolve) => server.once('listening', resolve));
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}/baton`;
  }
  afterEach(() => {
    server.closeAllConnections();
    server.close();
  });

  it.each([
    [200, 'go on\nand more', 'ok', 'go on'],
    [204, '', 'ok', 'HTTP 204'],
    [409, 'change freeze until Monday', 'vetoed', 'change freeze until Monday'],
    [403, '', 'vetoed', 'HTTP 403'],
    [500, 'broken', 'failed', 'HTTP 500: broken'],
    [404, '', 'failed', 'HTTP 404'],
  ] as const)('that answers %d', async (status, text, verdict, why) => {
    asked.length = 0;
    const url = await serve((request, response) => {
      let body = '';
      request.on('data', (part) => (body += String(part)));
      request.on('end', () => {
        asked.push(request.method, JSON.parse(body));
        response.writeHead(status).end(text);
      });
    });
    expect(await askHook(settings({ url }), question)).toEqual(answer(verdict, why));
    expect(asked).toEqual(['POST', question]);
  });

  it('that never answers, never ends its answer, or is not there has failed', async () => {
    const silent = await serve(() => undefined);
    const hung = await askHook(settings({ url: silent, timeoutMs: 300 }), question);
    expect(hung).toEqual(answer('failed', 'no answer within 300 ms'));
    server.closeAllConnections();
    server.close();
    const refused = await askHook(settings({ url: silent }), question);
    expect(refused).toEqual(answer('failed', expect.stringContaining('ECONNREFUSED')));
    const endless = await serve((_, response) => {
      response.writeHead(200);
      response.write('x');
    });
    const half = await askHook(settings({ url: endless, timeoutMs: 300 }), question);
    expect(half).toEqual(answer('failed', 'no answer within 300 ms'));
  });
});
