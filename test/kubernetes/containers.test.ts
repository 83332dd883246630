import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePorts } from '../../src/dev/free-port';
import { pidsWithEnvironment } from '../../src/dev/process-state';
import { Reaper } from '../../src/dev/reaper';
import { eventually } from '../support/eventually';
import { sharedServers } from '../support/servers';
import { TestSystem } from '../support/test-system';
import { find, type KubernetesObject, namespace, podTemplates, render } from './chart';
import { RenderedContainer } from './rendered-container';

jest.setTimeout(240_000);

/** The chart's pods on real servers, in the order of events that Kubernetes has. */
let system: TestSystem;
let objects: KubernetesObject[];
let reaper: Reaper;
const running = new Set<RenderedContainer>();
const brokerSecret = { 'broker-login': { url: sharedServers().rabbitmq } };

beforeAll(async () => {
  reaper = new Reaper();
  system = await TestSystem.create();
  const { etcd, temporal } = system.servers;
  const rabbitmq = { existingSecret: 'broker-login' };
  objects = render([], {
    image: { repository: 'orders' },
    dashboard: { enabled: true },
    regions: { 'us-east': { rabbitmq }, 'us-west': { rabbitmq } },
    etcd: { endpoints: etcd.map((address) => `http://${address}`) },
    temporal: { address: temporal },
    config: {
      locks: {
        [system.lock]: {
          leaseTtlMs: 6_000,
          drainLimitMs: 10_000,
          stallLimitMs: 4_000,
          beatMs: 1_000,
          queue: { name: system.lock, concurrency: 8 },
          handler: resolve(__dirname, '../../dist/test/support/ledger-handler.js'),
        },
      },
    },
  });
});
afterAll(async () => {
  for (const each of running) each.signal('SIGKILL');
  await system?.stop();
  await reaper?.close();
});

let pods = 0;
async function container(owner: string, name: string): Promise<RenderedContainer> {
  const { spec } = podTemplates(objects).find((each) => each.owner === owner)!;
  const pod = `${owner.split('/')[1]}-${++pods}`;
  const [port] = (await freePorts(1)) as [number];
  return new RenderedContainer({
    objects,
    spec,
    container: name,
    place: { name: pod, namespace, node: `node-${pods}`, zone: `zone-${pods}` },
    secrets: brokerSecret,
    folder: join(system.folder, pod),
    // A pod has an address of its own, and its image the handler.
    environment: { ...system.environment, ...reaper.environment, BATON_HEALTH_PORT: String(port) },
  });
}

async function worker(region: string): Promise<RenderedContainer> {
  const started = await container(`Deployment/orders-baton-${region}`, 'worker');
  started.start();
  running.add(started);
  reaper.watch(started.pid, { group: true });
  return started;
}

const untilReady = (each: RenderedContainer): Promise<void> =>
  eventually(async () => {
    const [status, body] = await each.probe('readinessProbe');
    if (status !== 200) throw new Error(`${body}\n${each.log().slice(-2_000)}`);
  }, 60_000);

const ended = (each: RenderedContainer): Promise<void> =>
  eventually(() => {
    if (each.exitCode === undefined) throw new Error('it still runs');
    running.delete(each);
  }, 60_000);

/** By the name that the downward API gave it. */
const name = (each: RenderedContainer): string => each.environment['BATON_POD_NAME']!;
const holds = (each: RenderedContainer): Promise<unknown> => system.untilHeldBy(name(each));

test('the chart runs: start, probes, load, rolling update, node drain, helm test, zone loss', async () => {
  const east = await worker('us-east');
  await eventually(async () => expect((await east.probe('startupProbe'))[0]).toBe(200), 60_000);
  await untilReady(east);
  expect((await east.probe('livenessProbe'))[0]).toBe(200);

  for (const region of ['us-east', 'us-west']) {
    const start = await container('Job/orders-baton-start-regions', region);
    expect(await system.run(...start.args)).toMatchObject({ code: 0, stderr: '' });
  }
  await holds(east);
  const [second, west] = await Promise.all([worker('us-east'), worker('us-west')]);
  await Promise.all([second, west].map(untilReady));
  const publisher = await system.connectPublisher();
  publisher.start(200);
  await system.untilProcessed(200);

  // A rolling update, as maxSurge 1 and maxUnavailable 0 have it: a new pod is ready before an old one gets SIGTERM.
  const replacement = await worker('us-east');
  await untilReady(replacement);
  await sleep(1_000);
  east.signal('SIGTERM');
  await ended(east);
  expect(east.exitCode).toBe(0);
  const afterRollout = (await system.view()).holder!;
  expect(afterRollout.region).toBe('us-east');

  // A node is drained: its pod gets SIGTERM at once, and the other one of the region is there.
  const holder = [second, replacement].find((each) => afterRollout.pod.startsWith(`${name(each)}-`))!;
  const other = holder === second ? replacement : second;
  holder.signal('SIGTERM');
  await ended(holder);
  await holds(other);

  for (const check of ['doctor', 'verify']) {
    const { args } = await container('Pod/orders-baton-agreement', check);
    const { code, stdout, stderr } = await system.run(...args);
    expect({ check, code, said: code === 0 ? '' : stdout + stderr }).toEqual({ check, code: 0, said: '' });
  }

  // The zone of the region's last pod is lost, without a word.
  await system.untilProcessed(system.processed() + 100);
  const lostAt = Date.now();
  // The agent first: it must not see a listener die.
  for (const pid of new Set([other.pid, ...pidsWithEnvironment(`BATON_POD_NAME=${name(other)}`)]))
    system.signal(pid, 'SIGKILL');
  await ended(other);
  await holds(west);
  const takeoverMs = Date.now() - lostAt;
  await system.untilProcessed(system.processed() + 100);

  const verdict = await system.settle();
  const receipts = await system.store.listReceipts(10);
  const gaps = receipts.map(({ cause, to, gapMs }) => `${cause} to ${to?.pod}: ${gapMs} ms`);
  process.stderr.write(`the chart's pods: takeover ${takeoverMs} ms; ${gaps.join(', ')}\n`);
  expect(verdict).toMatchObject({ lost: [], overlaps: 0, tokensMonotonic: true });
});

test('the dashboard answers its probes', async () => {
  const [port] = (await freePorts(1)) as [number];
  const dashboard = await container('Deployment/orders-baton-dashboard', 'dashboard');
  // Its port is the container's, which is not this machine's to give away.
  dashboard.args.splice(dashboard.args.indexOf('--port=8420'), 1, `--port=${port}`);
  dashboard.start();
  running.add(dashboard);
  reaper.watch(dashboard.pid, { group: true });
  const { livenessProbe, readinessProbe } = find(objects, 'Deployment', 'orders-baton-dashboard').spec
    .template.spec.containers[0];
  for (const { httpGet } of [livenessProbe, readinessProbe])
    await eventually(async () => {
      const { status } = await fetch(`http://127.0.0.1:${port}${httpGet.path}`, {
        headers: { host: '10.1.2.3:8420' },
      });
      expect(status).toBe(200);
    });
  dashboard.signal('SIGTERM');
  await ended(dashboard);
});
