import { spawn } from 'node:child_process';
import { resolve } from 'node:path';
import { connect } from 'amqplib';
import { Etcd3 } from 'etcd3';
import { type DevStack, startDevStack } from '../../src/dev/dev-stack';
import { checkEtcd } from '../../src/doctor/etcd-checkup';
import type { Finding } from '../../src/doctor/finding';
import { loadConfig } from '../../src/config/load-config';
import { sharedServers } from '../support/servers';
import { TestSystem } from '../support/test-system';

jest.setTimeout(180_000);

const main = resolve(__dirname, '../../dist/src/cli/main.js');
const systems: TestSystem[] = [];
let own: DevStack;

beforeAll(async () => {
  own = await startDevStack({ servers: ['etcd', 'toxiproxy'] });
});
afterEach(async () => {
  for (const system of systems.splice(0)) await system.stop();
});
afterAll(() => own?.stop());

async function create(...options: Parameters<typeof TestSystem.create>): Promise<TestSystem> {
  const system = await TestSystem.create(...options);
  systems.push(system);
  return system;
}

async function doctor(
  system: TestSystem,
  ...more: string[]
): Promise<{ code: number | null; findings: Finding[]; wrong: string[] }> {
  const { code, stdout, stderr } = await system.tryBaton('doctor', '--json', ...more);
  const { findings = [] } = JSON.parse(stdout || '{}') as { findings?: Finding[] };
  const wrong = findings.filter((each) => each.verdict === 'error').map(({ of, why }) => `${of}: ${why}`);
  return { code, findings, wrong: stdout === '' ? [stderr] : wrong };
}

async function onBroker(work: (channel: import('amqplib').Channel) => Promise<unknown>): Promise<void> {
  const model = await connect(sharedServers().rabbitmq);
  try {
    const channel = await model.createChannel();
    // A refused call ends the channel, and rejects as well.
    channel.on('error', () => {});
    await work(channel);
  } finally {
    await model.close();
  }
}

test('a system that can work has no error, and every area is looked at', async () => {
  const system = await create();
  const [{ code, findings, wrong }, { code: textCode, stdout }] = await Promise.all([
    doctor(system),
    system.tryBaton('doctor', '--grace', '5'),
  ]);
  expect({ code, wrong }).toEqual({ code: 0, wrong: [] });
  const looked = new Set(findings.filter(({ verdict }) => verdict === 'ok').map(({ area }) => area));
  // One member of etcd, and no pod yet.
  expect([...looked].toSorted()).toEqual([
    'permissions',
    'queues',
    'round trips',
    'temporal',
    'timing',
    'versions',
  ]);
  expect(findings).toContainEqual(
    expect.objectContaining({
      area: 'quorum',
      verdict: 'warning',
      why: 'one member: when it fails, every lock stops',
    }),
  );
  expect(textCode).toBe(0);
  expect(stdout).toMatch(/^ {2}warning {2}\S+: a shutdown takes up to 30 s, and the container gives it 5 s/m);
  expect(stdout).toMatch(/^ {11}change: a grace period of 30 s/m);
  expect(stdout).toMatch(/\d+ ok, \d+ warnings, 0 errors\n$/);
  // It has declared nothing and left nothing in etcd.
  await expect(onBroker((channel) => channel.checkQueue(system.lock))).rejects.toThrow(/404/);
  expect(await system.store.listReceipts(10)).toEqual([]);
});

test('a queue of the wrong type', async () => {
  const system = await create();
  await onBroker(async (channel) => {
    await channel.assertExchange(`${system.lock}.dead`, 'fanout', { durable: true });
    await channel.assertQueue(system.lock, {
      durable: true,
      arguments: { 'x-dead-letter-exchange': `${system.lock}.dead`, 'x-max-length': 500 },
    });
  });
  const { code, wrong, findings } = await doctor(system);
  expect(code).toBe(1);
  expect(wrong).toContainEqual(
    `queue ${system.lock} in us-east: is a classic queue: it can lose messages with its node, and does not count deliveries`,
  );
  // A classic queue, too, may be consumed: nothing was delivered, nothing is consumed by the doctor.
  expect(findings).toContainEqual(expect.objectContaining({ area: 'permissions', why: 'may be consumed' }));
});

test('a queue without a dead-letter exchange, and one whose exchange is not there', async () => {
  const system = await create({ queueSettings: { declare: false } });
  await onBroker((channel) =>
    channel.assertQueue(system.lock, { durable: true, arguments: { 'x-queue-type': 'quorum' } }),
  );
  const { code, wrong } = await doctor(system);
  expect(code).toBe(1);
  expect(wrong).toEqual([
    expect.stringContaining('has no dead-letter exchange: what reaches its delivery limit is lost'),
    expect.stringMatching(/dead-letter exchange \S+\.dead: NOT_FOUND/),
  ]);
});

test('a queue that has to be there and is not', async () => {
  const { wrong } = await doctor(await create({ queueSettings: { declare: false } }));
  expect(wrong).toEqual([expect.stringContaining('is not there, and queue.declare is false')]);
});

test('a lease too short for the way to etcd: the doctor says so, and no pod starts', async () => {
  const proxy = await own.toxiproxy.proxy('far-etcd', sharedServers().etcd[0] ?? '');
  const system = await create({
    etcdFor: { 'us-east': [proxy.address] },
    lockSettings: { leaseTtlMs: 2_000, drainLimitMs: 1_000 },
  });
  await proxy.addToxic('far', 'downstream', { type: 'latency', attributes: { latency: 300 } });
  const child = spawn(
    process.execPath,
    [main, 'worker', '--region', 'us-east', '--config', system.configFile('us-east')],
    { stdio: ['ignore', 'pipe', 'pipe'] },
  );
  let [out, err] = ['', ''];
  child.stdout.on('data', (part) => (out += String(part)));
  child.stderr.on('data', (part) => (err += String(part)));
  const [exit, { code, wrong }] = await Promise.all([
    new Promise((done) => child.on('close', done)),
    doctor(system),
  ]);
  expect(code).toBe(1);
  expect(wrong).toContainEqual(
    expect.stringMatching(/: leaseTtlMs is 2000, and must be above \d+: keeperInt/),
  );
  expect({ exit, out }).toEqual({ exit: 2, out: '' });
  expect(err).toMatch(
    new RegExp(`locks\\.${system.lock}\\.leaseTtlMs is 2000: must be above \\d+: .* round trips to etcd`),
  );
  expect((await system.view()).candidates).toEqual([]);
});

test('a user of etcd that may not write', async () => {
  const hosts = own.etcdAddresses.map((address) => `http://${address}`);
  const root = new Etcd3({ hosts });
  await root.user('root').create('root-pass');
  await root.role('root').create();
  await root.user('root').addRole('root');
  const reader = root.role('reader');
  await reader.create();
  await reader
    .grant({ permission: 'Read', range: root.namespace('/baton').getAll() as never })
    .catch(() => {});
  await root.user('reader').create('reader-pass');
  await root.user('reader').addRole('reader');
  await root.auth.authEnable();
  try {
    const system = await create();
    const config = loadConfig({ file: system.configFile(), env: {}, checkHandlers: false, cwd: '/' });
    config.etcd = { endpoints: hosts, username: 'reader', password: 'reader-pass' };
    const { findings } = await checkEtcd(config);
    const said = findings.filter(({ verdict }) => verdict === 'error').map(({ why }) => why);
    expect(said).toContainEqual(expect.stringContaining('permission denied'));
  } finally {
    root.close();
  }
});

test('servers that are away are findings, and the others are looked at all the same', async () => {
  const system = await create({
    servers: { ...sharedServers(), rabbitmq: 'amqp://guest:guest@127.0.0.1:1', temporal: '127.0.0.1:1' },
  });
  const { code, wrong, findings } = await doctor(system);
  expect(code).toBe(1);
  expect(wrong).toContainEqual(expect.stringMatching(/^RabbitMQ of us-east: no connection: .*ECONNREFUSED/));
  expect(wrong).toContainEqual(expect.stringMatching(/^Temporal 127\.0\.0\.1:1: /));
  expect(findings).toContainEqual(expect.objectContaining({ area: 'permissions', verdict: 'ok' }));
});

test('bad input ends with 2', async () => {
  const system = await create();
  const { code, stderr } = await system.tryBaton('doctor', '--grace', 'x');
  expect({ code, stderr }).toEqual({
    code: 2,
    stderr: expect.stringContaining('--grace is x: must be a whole number'),
  });
});
