import { writeFileSync } from 'node:fs';
import fc from 'fast-check';
import { stringify } from 'yaml';
import { ConfigFolder, minimal } from '../config/config-file';
import { DashboardProcess } from '../support/dashboard-browser';
import { eventually } from '../support/eventually';
import { sharedServers, uniqueName } from '../support/servers';
import { fuzzLimitMs, fuzzRuns } from './fuzz-runs';
import { hostileRequest, say } from './hostile-requests';
import { hostileJson, hostileText, nearly } from './hostile-values';

jest.setTimeout(fuzzLimitMs(60_000));

const token = '0123456789abcdef0123';
const lock = uniqueName('orders');
const folder = new ConfigFolder();
let dashboard: DashboardProcess;
let port = 0;

beforeAll(async () => {
  const { etcd, temporal } = sharedServers();
  const { orders } = minimal()['locks'] as { orders: unknown };
  folder.write(
    stringify({
      ...minimal(),
      etcd: { endpoints: etcd.map((address) => `http://${address}`) },
      temporal: { address: temporal },
      locks: { [lock]: orders },
    }),
  );
  writeFileSync(`${folder.path}/tokens`, `anna: ${token}\n`);
  const files = ['--config', `${folder.path}/baton.yaml`, '--token-file', `${folder.path}/tokens`];
  dashboard = await DashboardProcess.start([...files, '--port', '0']);
  port = Number(dashboard.port);
});
afterAll(async () => {
  await dashboard?.stop();
  folder.remove();
});

/** What it says of actions: a line of JSON when each begins, and when it ends. */
const begun = (): string[] =>
  dashboard
    .output()
    .split('\n')
    .filter((line) => line.startsWith('{'));
const post = (path: string, body: string | Uint8Array, headers: Record<string, string> = {}) =>
  fetch(dashboard.url + path, {
    method: 'POST',
    body: body as string,
    headers: {
      ...{ 'content-type': 'application/json', 'x-baton-action': '1', authorization: `Bearer ${token}` },
      // A connection that the server ends after a body which is too long serves no other request.
      connection: 'close',
      ...headers,
    },
  });
const alive = async (): Promise<number> =>
  (await fetch(`${dashboard.url}/api/locks`, { headers: { connection: 'close' } })).status;

test('the dashboard answers whatever it is sent, or hangs up, and lives', async () => {
  const answers = await Promise.all(
    fc.sample(hostileRequest, fuzzRuns(120)).map(async (each) => {
      const { said, socket } = await say(port, [each, '\r\n\r\n']);
      socket.destroy();
      return said;
    }),
  );
  for (const said of answers)
    expect(said).toMatch(/^$|^HTTP\/1\.1 (?:100|200|400|403|404|405|408|411|417|421|431|501|505) /);
  expect(answers.some((said) => said.includes(' 400 '))).toBe(true);
  expect(await alive()).toBe(200);
});

test('a hostile body of somebody who may act is turned down in a sentence, and begins nothing', async () => {
  const body = fc.oneof(
    {
      weight: 4,
      arbitrary: nearly({
        action: fc.constantFrom('switch', 'pause', 'abort', 'approve'),
        lock: fc.constantFrom('other', '../orders', '__proto__'),
        to: fc.constantFrom('us-west', 'us-east'),
        reason: hostileText,
        switchId: hostileText,
      }).map((value) => JSON.stringify(value) ?? ''),
    },
    { weight: 2, arbitrary: hostileJson.map((value) => JSON.stringify(value) ?? '') },
    { weight: 1, arbitrary: fc.uint8Array({ maxLength: 20_000 }) },
    { weight: 1, arbitrary: fc.constant('x'.repeat(2_000_000)) },
  );
  const path = fc.constantFrom('/api/actions', '/api/preflight');
  for (const [where, what] of fc.sample(fc.tuple(path, body), fuzzRuns(150))) {
    const shown = `${where} ${String(what).slice(0, 200)}`;
    // It may hang up on what is too long while that is still being sent.
    const answer = await post(where, what).catch((error: unknown) => {
      if (what.length > 16_384) return Response.json({ why: 'hung up' }, { status: 400 });
      throw error;
    });
    const { why } = (await answer.json()) as { why: string };
    expect([shown, answer.status]).toEqual([shown, 400]);
    expect(why).toMatch(/\S/);
    expect(why).not.toMatch(/\n\s+at /);
  }
  expect(begun()).toEqual([]);
  expect(({} as { polluted?: boolean }).polluted).toBeUndefined();
  expect(await alive()).toBe(200);
});

test('without the right header, origin, site and token nothing is even read', async () => {
  const good = JSON.stringify({ action: 'pause', lock, reason: 'x' });
  const wrong = fc.oneof(
    fc.constantFrom<Record<string, string>>(
      { 'x-baton-action': '0' },
      { origin: 'http://evil.example' },
      { origin: 'null' },
      { 'sec-fetch-site': 'cross-site' },
      { 'content-type': 'text/plain' },
      { authorization: '' },
      { authorization: `bearer ${token}` },
      { authorization: `Bearer ${token} x` },
    ),
    fc
      .string({ unit: fc.constantFrom('0', '1', 'a', 'f') })
      .filter((text) => text !== token)
      .map((text) => ({ authorization: `Bearer ${text}` })),
  );
  for (const headers of fc.sample(wrong, fuzzRuns(60))) {
    const answer = await post('/api/actions', good, headers);
    expect([headers, [401, 403, 415].includes(answer.status)]).toEqual([headers, true]);
  }
  expect(begun()).toEqual([]);
  // With all of them right it begins.
  expect((await post('/api/actions', good)).status).toBe(202);
  await eventually(() => expect(begun()[0]).toContain('"by":"anna (dashboard)"'));
});
