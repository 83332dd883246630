/**
 * Dockerfile and docker-compose.yml as they are. One system for all tests, in order: each leaves it whole. The load
 * generator runs from the third test to the last, which judges everything that happened.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { eventually } from '../support/eventually';
import { command, docker } from './command';
import { ComposeProject, image, pods } from './compose-project';

/** Of baton.yaml's lock: the default. */
const TTL_MS = 10_000;
/** A crash is over this long after the kill, on a machine that does everything at once. */
const RECOVERY_LIMIT_MS = 4 * TTL_MS;
const CONCURRENCY = 8;

let project: ComposeProject;
/** Kills of a process or a broker under load: each may repeat what was in flight. */
let kills = 0;

beforeAll(async () => {
  project = new ComposeProject();
  await project.prepare();
  try {
    await project.compose('up', '--detach', '--wait', '--wait-timeout', '400');
  } catch (error) {
    throw new Error(`${(error as Error).message}\n${await project.logs()}`, { cause: error });
  }
}, 1_500_000);

afterAll(async () => {
  await project?.remove();
}, 120_000);

it('refuses to start without secrets, and says how to get them', async () => {
  const { code, stderr } = await command('docker', ['compose', '--env-file', '.env.example', 'config']);
  expect(code).not.toBe(0);
  expect(stderr).toMatch(
    /_(PASSWORD|TOKEN) is missing a value: is not set - run sh deploy\/docker\/make-secrets.sh/,
  );
});

it('makes an image that runs as nobody special, writes nowhere, and says how large it is', async () => {
  const [{ Config, Size }] = JSON.parse(await docker('image', 'inspect', image)) as [
    { Config: { User: string; Labels: Record<string, string>; Healthcheck: object }; Size: number },
  ];
  console.log(
    `image: ${Math.round(Size / 1e6)} MB, of which Node's own ${await sizeOf('node:22-trixie-slim')} MB`,
  );
  expect(Config.User).toBe('1000:1000');
  expect(Config.Labels['org.opencontainers.image.title']).toBe('Baton');
  expect(Config.Healthcheck).toBeDefined();
  const alone = ['run', '--rm', '--read-only', '--network', 'none', '--cap-drop', 'ALL'];
  expect(await docker(...alone, image, '--version')).toMatch(/\d+\.\d+\.\d+/);
  expect(await docker(...alone, '--entrypoint', 'sh', image, '-c', 'id -u')).toBe('1000\n');
  const things = ['typescript', 'jest', 'oxlint'].map((name) => `/opt/baton/node_modules/${name}`);
  const look = await command('docker', [...alone, '--entrypoint', 'ls', image, '-d', ...things]);
  expect(look.stdout).toBe('');
  for (const pod of pods) {
    const write = await project.try('exec', '-T', pod, 'sh', '-c', 'touch /opt/baton/x || touch /app/x');
    expect(write.stderr).toMatch(/Read-only file system/);
  }
});

it('starts two regions with two ready pods each, and processes what the load generator publishes', async () => {
  await project.allReady();
  await project.compose('--profile', 'load', 'up', '--detach', 'load');
  await eventually(async () => expect(await project.processed()).toBeGreaterThan(100), 60_000);
  const { regions } = await project.status();
  expect(regions.filter(({ state }) => state === 'active')).toHaveLength(1);
});

it("answers on the dashboard's, Temporal's and RabbitMQ's pages, on the loopback address only", async () => {
  const page = async (port: string, path: string, headers = {}): Promise<string> => {
    const answer = await fetch(`http://127.0.0.1:${project.ports.get(port)}${path}`, { headers });
    expect(answer.status).toBe(200);
    return answer.text();
  };
  expect(await page('BATON_DASHBOARD_PORT', '/')).toMatch(/<title>[^<]*Baton/i);
  const workflows = await page('TEMPORAL_UI_PORT', '/api/v1/namespaces/default/workflows');
  expect(workflows).toContain('baton/orders/us-east');
  const authorization = basicAuthorization();
  const queues = await page('RABBITMQ_MANAGEMENT_PORT', '/api/queues', { authorization });
  expect(queues).toContain('"name":"orders"');
  const published = await docker('ps', '--format', '{{.Ports}}');
  expect(published).not.toMatch(/0\.0\.0\.0|:::/);
});

it('reaps what a hook leaves behind', async () => {
  const [pod] = pods;
  await project.compose('exec', '-T', pod!, 'sh', '-c', 'sh -c "sleep 0.2 & exit" & sleep 1');
  const zombies = 'grep -l "^State:.Z" /proc/[0-9]*/status | wc -l';
  expect(await project.compose('exec', '-T', pod!, 'sh', '-c', zombies)).toBe('0\n');
});

it('switches to the other region when asked', async () => {
  const { holder } = await project.status();
  const to = holder!.region === 'us-east' ? 'us-west' : 'us-east';
  expect(await project.baton('switch', '--to', to, '--reason', 'test')).toContain('cause      switch');
  expect(await project.holder()).toMatch(to);
  await project.flows();
});

it('hands over when the holder gets SIGTERM, and ends with exit code 0', async () => {
  const holder = await project.holder();
  await project.compose('stop', holder);
  expect(await project.exitCodeOf(holder)).toBe(0);
  const receipt = (await project.receipts()).at(-1);
  expect(receipt).toMatchObject({ cause: 'shutdown', from: { pod: expect.stringContaining(holder) } });
  expect(receipt!.requeued).not.toBeNull();
  expect(await project.nextHolder(holder, RECOVERY_LIMIT_MS)).not.toBe(holder);
  await project.flows();
  await project.compose('start', holder);
  await project.allReady();
});

it('replaces a killed holder', async () => {
  const holder = await project.holder();
  kills++;
  await project.compose('kill', holder);
  expect(await project.nextHolder(holder, RECOVERY_LIMIT_MS)).not.toBe(holder);
  await project.flows();
  await project.compose('up', '--detach', '--wait', holder);
  await project.allReady();
});

it('goes on without an etcd member', async () => {
  const before = (await project.status()).holder;
  await project.compose('kill', 'etcd-2');
  await sleep(2 * TTL_MS);
  await project.flows();
  expect((await project.status()).holder).toEqual(before);
  await project.compose('up', '--detach', '--wait', 'etcd-2');
});

it('stops without a majority of etcd, and goes on when there is one again', async () => {
  kills++; // The deadline aborts what is in flight.
  await project.compose('kill', 'etcd-2', 'etcd-3');
  await eventually(async () => {
    const before = await project.processed();
    await sleep(3_000);
    expect(await project.processed()).toBe(before);
  }, RECOVERY_LIMIT_MS);
  await project.compose('up', '--detach', '--wait', 'etcd-2', 'etcd-3');
  expect(await project.flows(120_000)).toBeGreaterThan(0);
  await project.allReady();
});

it('goes on without Temporal, and replaces a holder killed meanwhile', async () => {
  await project.compose('kill', 'temporal');
  await sleep(TTL_MS);
  await project.flows();
  const { holder } = await project.status();
  const service = pods.find((pod) => holder!.pod.startsWith(pod))!;
  kills++;
  await project.compose('kill', service);
  expect(await project.nextHolder(service, RECOVERY_LIMIT_MS)).not.toBe(service);
  await project.flows();
  await project.compose('up', '--detach', '--wait', 'temporal');
  await project.compose('up', '--detach', '--wait', service);
  await project.allReady();
});

it('resumes when RabbitMQ is back', async () => {
  kills++;
  await project.compose('kill', 'rabbitmq');
  await sleep(3_000);
  await project.compose('up', '--detach', '--wait', 'rabbitmq');
  expect(await project.flows(120_000)).toBeGreaterThan(0);
  await project.allReady();
});

it('survives the loss of a whole region', async () => {
  const { holder } = await project.status();
  const region = holder!.region;
  const lost = pods.filter((pod) => pod.startsWith(region));
  kills++;
  await project.compose('kill', ...lost);
  await eventually(async () => {
    expect((await project.status()).holder?.region).not.toBe(region);
  }, RECOVERY_LIMIT_MS);
  await eventually(async () => expect((await project.status()).holder).not.toBeNull(), RECOVERY_LIMIT_MS);
  await project.flows();
  await project.compose('up', '--detach', '--wait', ...lost);
  await project.allReady();
});

it("runs a user's handler on top of the image, as the example shows", async () => {
  const url = `amqp://baton:${project.secret('RABBITMQ_PASSWORD')}@rabbitmq:5672`;
  const variables = {
    BATON_RABBITMQ_URL_US_EAST: url,
    BATON_ETCD_ENDPOINTS: 'http://etcd-1:2379,http://etcd-2:2379,http://etcd-3:2379',
    BATON_TEMPORAL_ADDRESS: 'temporal:7233',
  };
  const flags = Object.entries(variables).flatMap(([name, value]) => ['--env', `${name}=${value}`]);
  const surroundings = ['--read-only', '--network', 'baton_default', ...flags];
  await docker('run', '--rm', ...surroundings, 'orders-handler', 'start', '--region', 'us-east');
  const worker = ['orders-handler', 'worker', '--region', 'us-east'];
  await docker('run', '--detach', '--name', 'own', ...surroundings, ...worker);
  try {
    await eventually(() => publish('greetings', { name: 'Ada' }), 60_000);
    await eventually(async () => expect(await docker('logs', 'own')).toContain('hello, Ada'), 60_000);
    await docker('stop', '--time', '50', 'own');
    expect(await docker('inspect', '--format', '{{.State.ExitCode}}', 'own')).toBe('0\n');
  } finally {
    await docker('rm', '--force', 'own');
  }
});

it('has lost nothing, and no two tenures worked at the same time', async () => {
  await project.compose('stop', 'load');
  expect(await project.exitCodeOf('load')).toBe(0);
  const verdict = await project.ledger();
  console.log(JSON.stringify(verdict));
  expect(verdict).toMatchObject({ holds: true, lost: 0, overlaps: 0, tokensMonotonic: true });
  expect(verdict.published).toBeGreaterThan(1_000);
  expect(verdict.duplicates).toBeLessThanOrEqual(kills * CONCURRENCY);
  expect(new Set(verdict.tenures.map(({ region }) => region)).size).toBe(2);
});

/** @throws Error while there is no such queue. */
async function publish(queue: string, content: object): Promise<void> {
  const address = `http://127.0.0.1:${project.ports.get('RABBITMQ_MANAGEMENT_PORT')}`;
  const answer = await fetch(`${address}/api/exchanges/%2f/amq.default/publish`, {
    method: 'POST',
    headers: { authorization: basicAuthorization() },
    body: JSON.stringify({
      properties: {},
      routing_key: queue,
      payload: JSON.stringify(content),
      payload_encoding: 'string',
    }),
  });
  expect(await answer.json()).toEqual({ routed: true });
}

function basicAuthorization(): string {
  const credentials = `baton:${project.secret('RABBITMQ_PASSWORD')}`;
  return `Basic ${Buffer.from(credentials).toString('base64')}`;
}

async function sizeOf(name: string): Promise<number> {
  return Math.round(Number(await docker('image', 'inspect', '--format', '{{.Size}}', name)) / 1e6);
}
