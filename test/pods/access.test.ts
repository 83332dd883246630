import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startDevStack, type DevStack } from '../../src/dev/dev-stack';
import { Authority } from '../support/certificates';
import { eventually } from '../support/eventually';
import { TestSystem, testServersOf } from '../support/test-system';
import { TlsProxy } from '../support/tls-proxy';

jest.setTimeout(300_000);

const ttlMs = 6_000;
const [password, rootPassword] = ['correct horse', 'root secret'];
let folder: string;
let ours: Authority;
let foreignCa: string;
let stack: DevStack;
let proxy: TlsProxy;
let temporal: string;
let system: TestSystem;
const cert: Record<'server' | 'client' | 'expired', { certFile: string; keyFile: string }> = {} as never;

/** Simple tokens that live for two seconds: each pod logs in again and again while it holds the lock. */
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'baton-access-'));
  ours = new Authority(join(folder, 'ours'));
  cert.server = ours.issue('server');
  cert.client = ours.issue('client');
  cert.expired = ours.issue('expired', { days: -1 });
  foreignCa = new Authority(join(folder, 'theirs')).caFile;
  stack = await startDevStack({
    etcdTls: cert.server,
    etcdFlags: { 'auth-token-ttl': '2' },
    rabbitmqTls: { ...cert.server, clientCaFile: ours.caFile },
    rabbitmqManagement: true,
  });
  proxy = new TlsProxy(stack.temporalAddress, cert.server, ours.caFile);
  temporal = await proxy.listen();
  etcdctl('user', 'add', `root:${rootPassword}`, '--interactive=false');
  etcdctl('role', 'add', 'root');
  etcdctl('user', 'grant-role', 'root', 'root');
  etcdctl('role', 'add', 'baton');
  for (const prefix of ['/baton/', '/baton-attempts/'])
    etcdctl('role', 'grant-permission', 'baton', 'readwrite', prefix, '--prefix=true');
  for (const region of ['us-east', 'us-west']) addEtcdUser(region);
  etcdctl('auth', 'enable');
  system = await TestSystem.create({
    servers: testServersOf(stack),
    lockSettings: { leaseTtlMs: ttlMs, healthLimitMs: 1_000 },
    storeAccess: { username: 'root', password: rootPassword, caFile: ours.caFile },
    configFor: (region) => configFor(region),
  });
  for (const region of ['us-east', 'us-west']) await addBrokerUser(region);
  await system.bringUp();
  (await system.connectPublisher()).start(50);
  await system.untilProcessed(30);
}, 240_000);
afterAll(async () => {
  await system?.stop();
  proxy?.close();
  await stack?.stop();
  rmSync(folder, { recursive: true, force: true });
});

/** Each region has users of its own, so that one can be locked out. */
function configFor(region: string): Record<string, unknown> {
  const { certFile, keyFile } = cert.client;
  const files = { caFile: ours.caFile, certFile, keyFile };
  const user = encodeURIComponent(region);
  const amqpUrl = `amqps://${user}:${encodeURIComponent(password)}@${stack.rabbitmq.secureAddress}/`;
  return {
    regions: { 'us-east': { amqpUrl, ...files }, 'us-west': { amqpUrl, ...files } },
    etcd: {
      endpoints: stack.etcdAddresses.map((address) => `https://${address}`),
      username: region,
      password,
      caFile: ours.caFile,
    },
    temporal: { address: temporal, namespace: 'default', ...files },
  };
}

let authOn = false;
function etcdctl(...args: string[]): void {
  const endpoint = `https://${stack.etcdAddresses[0]}`;
  const user = authOn ? ['--user', `root:${rootPassword}`] : [];
  const common = ['--endpoints', endpoint, '--cacert', ours.caFile, '--command-timeout', '20s'];
  execFileSync('etcdctl', [...common, ...user, ...args], {
    env: { ...process.env, ETCDCTL_API: '3' },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  if (args[0] === 'auth') authOn = true;
}
function addEtcdUser(name: string): void {
  etcdctl('user', 'add', `${name}:${password}`, '--interactive=false');
  etcdctl('user', 'grant-role', name, 'baton');
}

async function broker(method: string, path: string, body?: unknown): Promise<void> {
  const response = await fetch(`${stack.rabbitmq.managementUrl}/api/${path}`, {
    method,
    headers: { authorization: `Basic ${Buffer.from('guest:guest').toString('base64')}` },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
  if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`);
}
/** May do no more than Baton needs. */
async function addBrokerUser(name: string): Promise<void> {
  const own = `^${system.lock}(\\.dead)?$`;
  await broker('PUT', `users/${name}`, { password, tags: '' });
  await broker('PUT', `permissions/%2f/${name}`, { configure: own, write: own, read: own });
}

const safe = { lost: [], overlaps: 0, tokensMonotonic: true };

/** Everything still works: messages go on, and what there was before is not lost. */
async function goesOn(): Promise<void> {
  await system.untilProcessed(system.processed() + 50);
}

/** A second pod of the region with settings from the environment; it must not start. */
const worker = (env: Record<string, string>) =>
  system.tryBatonWith(env, 'worker', '--region', 'us-east', '--pod', 'refused', '--health-port', '0');
const status = (env: Record<string, string>) => system.tryBatonWith(env, 'status');

test('tokens that run out every two seconds, TLS and limited permissions cost a holder nothing', async () => {
  const before = await system.view();
  const calls = system.processed();
  await new Promise((done) => setTimeout(done, 2 * ttlMs));
  expect(system.processed()).toBeGreaterThan(calls);
  expect((await system.view()).holder?.token).toBe(before.holder?.token);
});

test('each wrong credential and certificate gives one error that names the server, and nothing is started', async () => {
  const etcd = `https://${stack.etcdAddresses[0]}`;
  const amqp = (user: string, secret: string) =>
    `amqps://${user}:${encodeURIComponent(secret)}@${stack.rabbitmq.secureAddress}/`;
  const rabbit = `RabbitMQ of us-east at amqps://${stack.rabbitmq.secureAddress}/ refuses the connection: `;
  const files = (prefix: string, { certFile, keyFile }: { certFile: string; keyFile: string }) => ({
    [`${prefix}_CERT_FILE`]: certFile,
    [`${prefix}_KEY_FILE`]: keyFile,
  });
  // A client certificate that Temporal does not accept is tried in security.test.ts: Node's own TLS server, which stands in front
  // of it here, says nothing when it hangs up, so that it could as well be away.
  const cases: [env: Record<string, string>, says: string[], command?: typeof status][] = [
    [{ BATON_ETCD_PASSWORD: 'wrong' }, [`etcd at ${etcd}`, 'authentication failed']],
    [{ BATON_ETCD_PASSWORD: 'wrong' }, [`etcd at ${etcd}`, 'authentication failed'], status],
    [{ BATON_ETCD_CA_FILE: foreignCa }, [etcd, 'not from an authority trusted here'], status],
    [{ BATON_RABBITMQ_URL: amqp('us-east', 'wrong') }, [rabbit, 'ACCESS-REFUSED']],
    [{ BATON_RABBITMQ_CA_FILE: foreignCa }, [rabbit, 'not from an authority trusted here']],
    [files('BATON_RABBITMQ', cert.expired), [rabbit, 'it does not accept our certificate']],
    [
      { BATON_TEMPORAL_CA_FILE: foreignCa },
      [`Temporal at ${temporal} refuses`, 'not from an authority trusted'],
    ],
  ];
  for (const [env, says, command = worker] of cases) {
    const { code, stdout, stderr } = await command(env);
    const lines = stderr.split('\n').filter((line) => line.startsWith('baton: '));
    expect({ env, code, lines: lines.length, stdout, stderr }).toMatchObject({
      env,
      code: 2,
      lines: 1,
      stdout: '',
    });
    for (const words of says) expect(lines[0]).toContain(words);
    expect(stderr).not.toContain(password);
  }
  expect(system.processes('us-east-a').listeners.length).toBeGreaterThan(0);
});

test('a region whose etcd user is deleted stops by its deadline, the other takes over, and it comes back with the user', async () => {
  await system.untilHeldBy('us-east-a');
  etcdctl('user', 'delete', 'us-east');
  const deleted = process.hrtime.bigint();
  await system.untilHeldBy('us-west-a');
  const late = system
    .ledger()
    .flatMap(({ records }) => records)
    .filter(({ event, region, t }) => event === 'start' && region === 'us-east' && t > deleted)
    .filter(({ t }) => Number(t - deleted) / 1e6 > ttlMs);
  expect(late).toEqual([]);
  await goesOn();
  addEtcdUser('us-east');
  await system.untilReady('us-east-a');
});

test('a role that is revoked has the same effect, although etcd goes on to extend the lease for whoever asks', async () => {
  const before = await system.untilHeldBy('us-west-a');
  etcdctl('user', 'revoke-role', 'us-west', 'baton');
  const after = await system.untilHeldBy('us-east-a');
  expect(after.holder?.token).toBeGreaterThan(before.holder?.token ?? 0);
  await goesOn();
  etcdctl('user', 'grant-role', 'us-west', 'baton');
  await system.untilReady('us-west-a');
});

test('a broker user that is deleted makes its region hand over, and nothing is lost', async () => {
  await system.untilHeldBy('us-east-a');
  await broker('DELETE', 'users/us-east');
  await system.untilHeldBy('us-west-a');
  await goesOn();
  await addBrokerUser('us-east');
  await system.untilReady('us-east-a');
  await eventually(async () => expect(await system.settle()).toMatchObject(safe));
});
