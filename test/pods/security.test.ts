import { connect } from 'amqplib';
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { get } from 'node:https';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import type { Config } from '../../src/config/config';
import { startDevStack, type DevStack } from '../../src/dev/dev-stack';
import { findProgram } from '../../src/dev/find-program';
import { connectClient } from '../../src/temporal/connection';
import { Authority, type Certificate } from '../support/certificates';
import { eventually } from '../support/eventually';
import { TestSystem, testServersOf } from '../support/test-system';
import { TlsGateway } from '../support/tls-gateway';

jest.setTimeout(300_000);

/** Everything demands a certificate and a login of its own; what the pods and commands know of them are files. */
const page = readFileSync(resolve(__dirname, '../../docs/security.md'), 'utf8');
const blocks = [...page.matchAll(/_run by a test:_\n\n```sh\n([\s\S]*?)```/g)].map(([, block = '']) => block);

let folder: string;
const at = (name: string): string => join(folder, name);
let [clients, nextClients]: Authority[] = [];
let foreign: Certificate;
let stack: DevStack;
let gateway: TlsGateway;
let system: TestSystem;
/** All that must be seen nowhere, by what it is. */
const secrets: Record<string, string> = {};

function secret(name: string): string {
  const text = `hush${randomBytes(18).toString('hex')}`;
  secrets[name] = text;
  writeFileSync(at(name), `${text}\n`);
  return text;
}

/** As whoever rotates secrets does it: written beside, then renamed. */
function replace(name: string, content: string | Buffer): void {
  writeFileSync(at(`${name}.new`), content);
  renameSync(at(`${name}.new`), at(name));
}
function installCertificate({ certFile, keyFile }: Certificate): void {
  replace('live/client.pem', readFileSync(certFile));
  replace('live/client.key', readFileSync(keyFile));
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'baton-security-'));
  for (const name of ['live', 'keys', 'audit']) mkdirSync(at(name));
  const servers = new Authority(at('servers'));
  clients = new Authority(at('clients'));
  nextClients = new Authority(at('next-clients'));
  foreign = new Authority(at('foreign')).issue('foreign');
  copyFileSync(servers.caFile, at('live/ca.pem'));
  installCertificate(clients.issue('first'));
  replace('trusted.pem', readFileSync(clients.caFile, 'utf8') + readFileSync(nextClients.caFile, 'utf8'));
  const server = { ...servers.issue('server'), clientCaFile: at('trusted.pem') };
  stack = await startDevStack({ etcdTls: server, rabbitmqTls: server, rabbitmqManagement: true });

  for (const name of ['root.password', 'looker.password', 'us-east.password', 'api-key']) secret(name);
  copyFileSync(at('us-east.password'), at('us-west.password'));
  copyFileSync(at('api-key'), at('known-keys'));
  newKey('k1');
  for (const region of ['us-east', 'us-west'])
    writeFileSync(
      at(`${region}.url`),
      `amqps://${region}:${secrets['us-east.password']}@${stack.rabbitmq.secureAddress}/`,
    );
  const manager = secret('manager.password');
  await broker('PUT', 'users/manager', { password: manager, tags: 'administrator' });
  const options = { target: stack.temporalAddress, server, clientCaFile: at('trusted.pem') };
  gateway = await TlsGateway.start({ ...options, apiKeysFile: at('known-keys') }, (pid) => stack.adopt(pid));

  if (blocks.length !== 3)
    throw new Error(`docs/security.md has ${blocks.length} blocks that are run, not 3`);
  for (const block of blocks) run(block);

  const files = {
    caFile: at('live/ca.pem'),
    certFile: at('live/client.pem'),
    keyFile: at('live/client.key'),
  };
  const management = stack.rabbitmq.managementUrl!.replace('//', `//manager:${manager}@`);
  system = await TestSystem.create({
    servers: testServersOf(stack),
    lock: 'orders',
    encryption: { keysFolder: at('keys'), keyId: 'k1' },
    // etcd's only member restarts in between: however long a busy machine takes for that, nobody loses the lease.
    lockSettings: { healthLimitMs: 1_000, leaseTtlMs: 30_000 },
    storeAccess: { username: 'root', password: secrets['root.password']!, ...files },
    environment: {
      BATON_ETCD_PASSWORD_FILE: at('us-east.password'),
      BATON_RABBITMQ_URL_US_EAST_FILE: at('us-east.url'),
      BATON_RABBITMQ_URL_US_WEST_FILE: at('us-west.url'),
      BATON_TEMPORAL_API_KEY_FILE: at('api-key'),
    },
    configFor: (region) => ({
      regions: Object.fromEntries(
        ['us-east', 'us-west'].map((name) => [name, { ...files, managementUrl: management }]),
      ),
      etcd: {
        endpoints: stack.etcdAddresses.map((address) => `https://${address}`),
        username: region,
        ...files,
      },
      temporal: {
        address: gateway.address,
        namespace: 'default',
        ...files,
        encryption: { keysFolder: at('keys'), keyId: 'k1' },
      },
      audit: { file: at('audit/{pod}.jsonl') },
    }),
  });
  await system.bringUp();
  (await system.connectPublisher()).start(50);
  await system.untilProcessed(30);
}, 240_000);
afterAll(async () => {
  await system?.stop();
  gateway?.close();
  await stack?.stop();
  rmSync(folder, { recursive: true, force: true });
});

function newKey(id: string): void {
  const key = randomBytes(32).toString('base64');
  secrets[`key ${id}`] = key;
  writeFileSync(at(`keys/${id}`), `${key}\n`);
}

/** With a shell, as an operator would; the servers' tools find these servers by their variables. */
function run(commands: string, user?: string): string {
  return execFileSync('bash', ['-euo', 'pipefail', '-c', commands], {
    cwd: folder,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
    env: {
      ...stack.rabbitmq.ctlEnvironment,
      ETCDCTL_API: '3',
      ETCDCTL_ENDPOINTS: `https://${stack.etcdAddresses[0]}`,
      ETCDCTL_CACERT: at('live/ca.pem'),
      ETCDCTL_CERT: at('live/client.pem'),
      ETCDCTL_KEY: at('live/client.key'),
      ...(user !== undefined && { ETCDCTL_USER: `${user}:${secrets[`${user}.password`]}` }),
    },
  });
}

async function broker(method: string, path: string, body?: unknown): Promise<unknown> {
  const response = await fetch(`${stack.rabbitmq.managementUrl}/api/${path}`, {
    method,
    headers: { authorization: `Basic ${Buffer.from('guest:guest').toString('base64')}` },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
  if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`);
  return method === 'GET' ? response.json() : null;
}

async function goesOn(): Promise<void> {
  await system.untilProcessed(system.processed() + 50);
}

/** Runs Baton with something wrong; it must say so in one line that names the server. */
async function refusal(env: Record<string, string>): Promise<string> {
  const args = ['worker', '--region', 'us-east', '--pod', 'refused', '--health-port', '0'];
  const { code, stdout, stderr } = await system.tryBatonWith(env, ...args);
  const lines = stderr.split('\n').filter((line) => line.startsWith('baton: '));
  expect({ code, stdout, lines: lines.length, stderr }).toMatchObject({ code: 2, stdout: '', lines: 1 });
  return lines[0] ?? '';
}

test('with the permissions of the page a pod works, whoever looks may look, and neither may do more', async () => {
  const looker = { BATON_ETCD_USERNAME: 'looker', BATON_ETCD_PASSWORD_FILE: at('looker.password') };
  const status = await system.tryBatonWith(looker, 'status');
  expect(status).toMatchObject({ code: 0, stdout: expect.stringContaining('us-east-a') as string });
  for (const [user, key] of [
    ['looker', '/baton/orders/holder'],
    ['us-east', '/baton/other/holder'],
    ['us-east', '/elsewhere'],
  ] as const)
    expect(() => run(`etcdctl put ${key} x`, user)).toThrow('permission denied');
  const tls = { ca: readFileSync(at('live/ca.pem')), cert: readFileSync(at('live/client.pem')) };
  const model = await connect(readFileSync(at('us-east.url'), 'utf8'), {
    ...tls,
    key: readFileSync(at('live/client.key')),
  });
  const channel = await model.createChannel();
  const refused = new Promise<Error>((done) => channel.on('error', done));
  channel.sendToQueue('orders', Buffer.from('not mine to send'));
  expect((await refused).message).toContain('ACCESS_REFUSED');
  await model.close();
});

test('each server demands a certificate, and Temporal an API key; a wrong one is refused in one line', async () => {
  const files = (prefix: string) => ({
    [`${prefix}_CERT_FILE`]: foreign.certFile,
    [`${prefix}_KEY_FILE`]: foreign.keyFile,
  });
  expect(gateway.shown).toContain('first');
  writeFileSync(at('wrong-key'), 'of nobody');
  const refusals = await Promise.all([
    refusal(files('BATON_ETCD')),
    refusal(files('BATON_RABBITMQ')),
    refusal(files('BATON_TEMPORAL')),
    refusal({ BATON_TEMPORAL_API_KEY_FILE: at('wrong-key') }),
  ]);
  const certificate = 'it does not accept our certificate';
  for (const [index, words] of [
    [`etcd (https://${stack.etcdAddresses[0]}`, certificate],
    [`RabbitMQ of us-east at amqps://${stack.rabbitmq.secureAddress}/ refuses`, certificate],
    [`Temporal at ${gateway.address} refuses`, certificate],
    [`Temporal at ${gateway.address} refuses`, 'this API key is not known'],
  ].entries())
    for (const word of words) expect(refusals[index]).toContain(word);
});

test('an API key that is replaced counts without a restart, for workers and client', async () => {
  const old = readFileSync(at('api-key'), 'utf8');
  const next = secret('next-api-key');
  replace('known-keys', `${old}${next}\n`);
  replace('api-key', `${next}\n`);
  for (const pod of ['us-east-a', 'us-west-a'])
    await eventually(async () => expect(await system.logLines(pod, 'using the new API key')).toHaveLength(1));
  replace('known-keys', `${next}\n`);
  await system.baton('switch', '--to', 'us-west', '--reason', 'after the key', '--by', 'jest');
  await system.baton('switch', '--to', 'us-east', '--reason', 'and back', '--by', 'jest');
});

test('passwords of etcd and RabbitMQ that are replaced in their files count without a restart: still holder, nothing lost', async () => {
  const before = await system.untilHeldBy('us-east-a');
  const [old, next] = [secrets['us-east.password']!, secret('next.password')];
  for (const region of ['us-east', 'us-west']) {
    const url = readFileSync(at(`${region}.url`), 'utf8');
    replace(`${region}.password`, `${next}\n`);
    replace(`${region}.url`, url.replace(old, next));
    run(`etcdctl user passwd ${region} --interactive=false < next.password`, 'root');
    await broker('PUT', `users/${region}`, { password: next, tags: '' });
  }
  const connections = (await broker('GET', 'connections')) as { name: string; user: string }[];
  for (const { name, user } of connections)
    if (user !== 'guest') await broker('DELETE', `connections/${encodeURIComponent(name)}`);
  expect(await refusal({ BATON_ETCD_PASSWORD: old, BATON_ETCD_PASSWORD_FILE: '' })).toContain(
    'authentication failed',
  );
  await goesOn();
  await system.untilReady('us-west-a');
  expect((await system.view()).holder).toEqual(before.holder);
  await system.baton('switch', '--to', 'us-west', '--reason', 'new passwords', '--by', 'jest');
  await system.baton('switch', '--to', 'us-east', '--reason', 'and back', '--by', 'jest');
});

test('certificates of a new authority are taken over from the disk: still holder, same token, nothing lost', async () => {
  const before = await system.untilHeldBy('us-east-a');
  installCertificate(nextClients!.issue('second'));
  for (const pod of ['us-east-a', 'us-west-a'])
    await eventually(async () =>
      expect(await system.logLines(pod, 'using the new certificates for Temporal')).toHaveLength(1),
    );
  // From here on nobody trusts the old one, and every connection has to be made anew.
  replace('trusted.pem', readFileSync(nextClients!.caFile));
  await stack.rabbitmq.ctl('eval', 'ssl:clear_pem_cache().');
  gateway.shown.length = 0;
  gateway.cut();
  const connections = (await broker('GET', 'connections')) as { name: string; user: string }[];
  for (const { name, user } of connections)
    if (user !== 'guest') await broker('DELETE', `connections/${encodeURIComponent(name)}`);
  await stack.etcd.member(0).restart();
  const etcd = await refusal({
    BATON_ETCD_CERT_FILE: join(folder, 'clients/first.pem'),
    BATON_ETCD_KEY_FILE: join(folder, 'clients/first.key'),
  });
  expect(etcd).toContain('it does not accept our certificate');
  await goesOn();
  await eventually(() => expect(new Set(gateway.shown)).toEqual(new Set(['second'])));
  await system.untilReady('us-west-a');
  expect((await system.view()).holder).toEqual(before.holder);
  // And all of it still works together.
  await system.baton('switch', '--to', 'us-west', '--reason', 'new certificates', '--by', 'jest');
  await system.baton('switch', '--to', 'us-east', '--reason', 'and back again', '--by', 'jest');
});

describe('encrypted payloads', () => {
  const reason = 'a reason that only we may read';
  const show = ['workflow', 'show', '--workflow-id', 'baton/orders/us-east', '--output', 'json'];
  /** Past the gateway, as Temporal's operators would. */
  const temporal = (...args: string[]): string =>
    execFileSync(findProgram('temporal'), [...args, '--address', stack.temporalAddress], {
      encoding: 'utf8',
    });

  test('show nothing in the history; the commands, an export and the replay know them', async () => {
    await system.baton('switch', '--to', 'us-west', '--reason', reason, '--by', 'jest');
    await system.baton('switch', '--to', 'us-east', '--reason', 'back', '--by', 'jest');
    expect(contents(temporal(...show))).not.toContain(reason);
    expect(await system.baton('history')).toContain(reason);
    expect(await system.baton('status')).toMatch(/us-east +active/);
    expect((await system.tryBaton('why', 'us-west')).stdout).toContain('us-west');
    await system.baton('export-histories', at('histories'));
    const kinds = readFolder(at('histories'))
      .split('\n')
      .filter((line) => line !== '')
      .flatMap((line) => payloadKinds(JSON.parse(line)));
    expect(kinds.length).toBeGreaterThan(50);
    expect([...new Set(kinds)]).toEqual(['binary/baton-aes-256-gcm']);
    expect(readFolder(at('histories'))).not.toContain(reason);
    const replayed = await system.tryBaton('replay', at('histories'));
    expect(replayed).toMatchObject({ code: 0 });
    const without = await system.run('replay', at('histories'));
    expect(without.code).toBe(1);
    expect(without.stdout).toContain('encrypted with the key k1, which is missing here');
  });

  test('are read with the codec server, by whoever has a token, and by no other page', async () => {
    const token = secret('codec-token');
    writeFileSync(at('tokens'), `anna: ${token}\n`);
    const { child, url } = await codecServer('--token-file', at('tokens'));
    try {
      const codec = ['--codec-endpoint', url, '--codec-auth', `Bearer ${token}`];
      expect(contents(temporal(...show, ...codec))).toContain(reason);
      const ask = (headers: Record<string, string>) =>
        fetch(`${url}/decode`, {
          method: 'POST',
          headers: { 'content-type': 'application/json', ...headers },
          body: '{"payloads":[]}',
        });
      const authorization = `Bearer ${token}`;
      expect((await ask({ authorization, origin: 'https://ui.example.com' })).status).toBe(200);
      expect((await ask({ authorization, origin: 'https://evil.example.com' })).status).toBe(403);
      expect((await ask({})).status).toBe(401);
    } finally {
      child.kill('SIGTERM');
    }
  });

  test('whose key is missing stop no lock: one line names the key, and the work goes on when it is there', async () => {
    mkdirSync(at('no-keys'));
    writeFileSync(at('no-keys/k0'), randomBytes(32).toString('hex'));
    const pod = await refusal({
      BATON_TEMPORAL_ENCRYPTION_KEYS_FOLDER: at('no-keys'),
      BATON_TEMPORAL_ENCRYPTION_KEY_ID: 'k0',
    });
    expect(pod).toContain(`Temporal at ${gateway.address} holds what cannot be read here`);
    expect(pod).toContain('encrypted with the key k1');
    const before = await system.untilHeldBy('us-east-a');
    // Somebody uses a new key before the pods have it.
    mkdirSync(at('their-keys'));
    for (const [id, name] of [
      ['k1', 'keys/k1'],
      ['k2', 'their-keys/k2'],
    ] as const) {
      if (id === 'k2') writeFileSync(at(name), randomBytes(32).toString('base64'));
      else copyFileSync(at(name), at('their-keys/k1'));
    }
    const temporalOnly = { temporal: { address: stack.temporalAddress }, locks: [] } as unknown as Config;
    temporalOnly.temporal.encryption = { keysFolder: at('their-keys'), keyId: 'k2' };
    const client = await connectClient(temporalOnly);
    const switchId = 'with-a-new-key';
    await client.gracefulSwitch('orders', 'us-east', { to: 'us-west', reason, by: 'jest', switchId });
    await client.close();
    await eventually(async () =>
      expect(await system.logLines('us-east-a', 'what Temporal holds cannot be read here')).toMatchObject([
        { reason: expect.stringContaining('encrypted with the key k2') as string },
      ]),
    );
    await goesOn();
    expect((await system.view()).holder).toEqual(before.holder);
    copyFileSync(at('their-keys/k2'), at('keys/k2'));
    await system.untilHeldBy('us-west-a');
    await goesOn();
    expect(await system.logLines('us-east-a', 'what Temporal holds cannot be read here')).toHaveLength(1);
    await system.baton('switch', '--to', 'us-east', '--reason', 'back', '--by', 'jest');
  });

  async function codecServer(...args: string[]): Promise<{ child: ChildProcess; url: string }> {
    const program = resolve(__dirname, '../../dist/src/cli/main.js');
    const child = spawn(
      process.execPath,
      [program, 'codec-server', '--port', '0', '--ui-origin', 'https://ui.example.com', ...args].concat(
        '--config',
        system.configFile(),
      ),
      { env: system.environment, stdio: ['ignore', 'pipe', 'inherit'] },
    );
    if (child.pid !== undefined) stack.adopt(child.pid);
    for await (const line of createInterface({ input: child.stdout })) {
      const [, url] = /codec server: (\S+) /.exec(line) ?? [];
      if (url !== undefined) return { child, url };
    }
    throw new Error('the codec server ended');
  }

  /** What the CLI's JSON shows in base64. */
  const contents = (json: string): string =>
    [...json.matchAll(/"data": "([^"]+)"/g)]
      .map(([, data = '']) => Buffer.from(data, 'base64').toString())
      .join('\n');

  /** Of all payloads but search attributes, which the server has to read. */
  function payloadKinds(part: unknown): string[] {
    if (typeof part !== 'object' || part === null) return [];
    const { metadata } = part as { metadata?: { encoding?: string } };
    if (metadata?.encoding !== undefined) return [Buffer.from(metadata.encoding, 'base64').toString()];
    return Object.entries(part).flatMap(([name, inner]) =>
      /searchAttributes/i.test(name) ? [] : payloadKinds(inner),
    );
  }
});

test('a broker user without permissions makes its region hand over, and comes back with them', async () => {
  await system.untilHeldBy('us-east-a');
  run('rabbitmqctl clear_permissions us-east');
  await goesOn();
  const connections = (await broker('GET', 'connections')) as { name: string; user: string }[];
  for (const { name } of connections.filter(({ user }) => user === 'us-east'))
    await broker('DELETE', `connections/${encodeURIComponent(name)}`);
  const { holder } = await system.untilHeldBy('us-west-a');
  expect(holder?.region).toBe('us-west');
  await eventually(async () =>
    expect(await system.logLines('us-east-a', 'listener is not ready')).toContainEqual(
      expect.objectContaining({
        reason: expect.stringMatching(
          /^RabbitMQ at amqps:\/\/\S+ refuses the connection: NOT_ALLOWED - this user may not use virtual host "\/"/,
        ) as string,
      }),
    ),
  );
  await goesOn();
  run(
    blocks[2]!
      .split('\n')
      .filter((line) => line.includes('set_permissions us-east'))
      .join('\n'),
  );
  await system.untilReady('us-east-a');
});

test('no secret stands anywhere: logs, histories, metrics, pages, records, errors, arguments', async () => {
  const pods = ['us-east-a', 'us-west-a'].map((name) => system.pod(name));
  const pids = [...pods].flatMap(({ name }) => {
    const { agent, listeners } = system.processes(name);
    return [agent, ...listeners];
  });
  const doctor = await system.tryBaton('doctor', '--json');
  const dashboard = await dashboardPages();
  const wrong = await system.tryBatonWith({ BATON_ETCD_ENDPOINTS: 'https://127.0.0.1:1' }, 'status');
  const places: Record<string, string> = {
    logs: readFolder(join(system.folder, 'logs')),
    histories: readFolder(at('histories')),
    'audit record': readFolder(at('audit')),
    arguments: pids.map((pid) => argumentsOf(pid)).join('\n'),
    metrics: (await Promise.all(pods.map((pod) => metricsOf(pod.name)))).join('\n'),
    doctor: doctor.stdout + doctor.stderr,
    errors: wrong.stdout + wrong.stderr,
    dashboard,
    etcd: run('etcdctl get /baton --prefix', 'root'),
  };
  secrets['client key'] = readFileSync(at('live/client.key'), 'utf8').split('\n')[1]!;
  for (const [place, text] of Object.entries(places)) {
    expect({ place, empty: text.length < 50 }).toEqual({ place, empty: false });
    const seen = Object.entries(secrets).filter(([, value]) => text.includes(value));
    expect({ place, seen: seen.map(([name]) => name) }).toEqual({ place, seen: [] });
  }
  expect(await system.settle()).toMatchObject({ lost: [], overlaps: 0, tokensMonotonic: true });
});

const readFolder = (path: string): string =>
  readdirSync(path)
    .map((name) => readFileSync(join(path, name), 'utf8'))
    .join('\n');

/** Empty for a process that has ended meanwhile. */
function argumentsOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8');
  } catch {
    return '';
  }
}

async function metricsOf(pod: string): Promise<string> {
  const [line] = await system.logLines(pod, 'health server listens');
  return (await fetch(`http://127.0.0.1:${String(line?.['healthPort'])}/metrics`)).text();
}

/** Over HTTPS, to who shows a certificate; the same authority signs both sides here. */
async function dashboardPages(): Promise<string> {
  const program = resolve(__dirname, '../../dist/src/cli/main.js');
  const tls = [
    '--cert-file',
    join(folder, 'servers/server.pem'),
    '--key-file',
    join(folder, 'servers/server.key'),
  ];
  const args = ['dashboard', '--port', '0', ...tls, '--client-ca-file', at('trusted.pem')];
  const child = spawn(process.execPath, [program, ...args, '--config', system.configFile()], {
    env: system.environment,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  if (child.pid !== undefined) stack.adopt(child.pid);
  try {
    for await (const line of createInterface({ input: child.stdout })) {
      const [, url] = /dashboard: (\S+) /.exec(line) ?? [];
      if (url === undefined) continue;
      const ca = readFileSync(at('live/ca.pem'));
      await expect(getSecurely(url, { ca })).rejects.toThrow(/certificate|alert|reset|hang up|ECONN|EPIPE/i);
      const own = { cert: readFileSync(at('live/client.pem')), key: readFileSync(at('live/client.key')) };
      return await eventually(async () => {
        const feed = await getSecurely(`${url}/api/locks`, { ca, ...own });
        expect(feed).toContain('us-east-a');
        return feed;
      });
    }
    throw new Error('the dashboard ended');
  } finally {
    child.kill('SIGTERM');
  }
}

const getSecurely = (url: string, tls: { ca: Buffer; cert?: Buffer; key?: Buffer }): Promise<string> =>
  new Promise((done, fail) => {
    let text = '';
    get(url, { ...tls, agent: false }, (response) => {
      response.on('data', (chunk: Buffer) => (text += String(chunk))).on('end', () => done(text));
    }).on('error', fail);
  });
