import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parse } from 'yaml';
import { loadConfig } from '../../src/config/load-config';
import { stopLimitMs } from '../../src/config/stop-limit';
import {
  chartFolder,
  example,
  find,
  helm,
  type KubernetesObject,
  podTemplates,
  refusal,
  render,
} from './chart';

const simple = example('one-cluster');
const production = example('us-east');
const everything = { 'one cluster': render([simple]), production: render([production]) };

test.each([simple, production])('helm lint --strict finds nothing wrong with %s', (values) => {
  expect(helm(['lint', '--strict', chartFolder, `--values=${values}`])).toContain('0 chart(s) failed');
});

const worker = (objects: KubernetesObject[], region: string): any =>
  find(objects, 'Deployment', `orders-baton-${region}`).spec.template.spec;

describe.each(Object.entries(everything))('every pod of %s', (_, objects) => {
  const pods = podTemplates(objects);
  const containers = pods.flatMap(({ owner, spec }) =>
    spec.containers.map((each: any) => [`${owner} ${each.name}`, each, spec] as const),
  );

  test('there are workers, a dashboard, the start and the test', () => {
    const owners = pods.map(({ owner }) => owner);
    expect(owners).toEqual(
      expect.arrayContaining([
        'Deployment/orders-baton-us-east',
        'Deployment/orders-baton-dashboard',
        'Job/orders-baton-start-regions',
        'Pod/orders-baton-agreement',
      ]),
    );
  });

  test.each(containers)('%s has no privilege', (_name, container, spec) => {
    expect(spec).toMatchObject({
      automountServiceAccountToken: false,
      serviceAccountName: 'orders-baton',
      securityContext: { runAsNonRoot: true, runAsUser: 10_001, seccompProfile: { type: 'RuntimeDefault' } },
    });
    expect(container.securityContext).toEqual({
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ['ALL'] },
    });
    expect(container.resources).toMatchObject({ requests: expect.anything(), limits: expect.anything() });
    const mounts = container.volumeMounts.map(({ name }: { name: string }) => name);
    const volumes = spec.volumes.map(({ name }: { name: string }) => name);
    expect(volumes).toEqual(expect.arrayContaining(mounts));
    expect(JSON.stringify(spec.volumes)).not.toMatch(/hostPath/);
  });
});

test('no secret is anywhere but in files of a Secret', () => {
  const text = JSON.stringify(everything.production);
  expect(text).not.toMatch(/secretKeyRef/);
  const { env, volumeMounts } = worker(everything.production, 'us-east').containers[0];
  const files = env.filter(({ name }: { name: string }) => name.endsWith('_FILE'));
  expect(files.map(({ name, value }: any) => [name, value])).toEqual([
    ['BATON_RABBITMQ_URL_FILE', '/etc/baton/secrets/rabbitmq-us-east/url'],
    ['BATON_RABBITMQ_MANAGEMENT_URL_US_EAST_FILE', '/etc/baton/secrets/rabbitmq-us-east/management-url'],
    ['BATON_RABBITMQ_MANAGEMENT_URL_US_WEST_FILE', '/etc/baton/secrets/rabbitmq-us-west/management-url'],
    ['BATON_ETCD_USERNAME_FILE', '/etc/baton/secrets/etcd/username'],
    ['BATON_ETCD_PASSWORD_FILE', '/etc/baton/secrets/etcd/password'],
    ['BATON_TEMPORAL_API_KEY_FILE', '/etc/baton/secrets/temporal/api-key'],
  ]);
  const mounted = volumeMounts.map(({ mountPath }: { mountPath: string }) => mountPath);
  for (const { value } of files)
    expect(mounted.some((path: string) => value.startsWith(`${path}/`))).toBe(true);
});

describe('the workers', () => {
  test('know their pod, node and zone', () => {
    const { env } = worker(everything['one cluster'], 'us-west').containers[0];
    const from = Object.fromEntries(env.map((each: any) => [each.name, each.valueFrom?.fieldRef.fieldPath]));
    expect(from).toMatchObject({
      BATON_POD_NAME: 'metadata.name',
      POD_NAMESPACE: 'metadata.namespace',
      NODE_NAME: 'spec.nodeName',
      NODE_ZONE: "metadata.labels['topology.kubernetes.io/zone']",
    });
  });

  test('run only where values say so', () => {
    const names = (objects: KubernetesObject[]): string[] =>
      objects.filter(({ kind }) => kind === 'Deployment').map(({ metadata }) => metadata.name);
    expect(names(everything['one cluster'])).toContain('orders-baton-us-west');
    expect(names(everything.production)).not.toContain('orders-baton-us-west');
    expect(find(everything.production, 'PodDisruptionBudget', 'orders-baton-us-east').spec).toMatchObject({
      maxUnavailable: 1,
    });
  });

  test('are spread over zones and nodes, and a new one is warm before an old one goes', () => {
    const { spec } = find(everything.production, 'Deployment', 'orders-baton-us-east');
    expect(spec).toMatchObject({
      replicas: 3,
      strategy: { rollingUpdate: { maxSurge: 1, maxUnavailable: 0 } },
      template: {
        spec: {
          topologySpreadConstraints: [
            { topologyKey: 'topology.kubernetes.io/zone', whenUnsatisfiable: 'DoNotSchedule' },
          ],
        },
      },
    });
    const { affinity } = spec.template.spec;
    expect(JSON.stringify(affinity.nodeAffinity)).toContain('us-east-1b');
    expect(JSON.stringify(affinity.podAntiAffinity)).toContain('kubernetes.io/hostname');
    expect(spec.selector.matchLabels).toEqual(
      expect.objectContaining(
        affinity.podAntiAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].podAffinityTerm
          .labelSelector.matchLabels,
      ),
    );
  });

  test('a change of configuration rolls them', () => {
    const sum = (objects: KubernetesObject[]): string =>
      podTemplates(objects).find(({ owner }) => owner.endsWith('us-east'))!.metadata.annotations[
        'checksum/config'
      ];
    const changed = render([simple], { config: { logLevel: 'debug' } });
    expect(sum(changed)).not.toBe(sum(everything['one cluster']));
  });
});

test.each([
  ['the default drain limit', {}, 50],
  ['a common one', { defaults: { drainLimitMs: 1_000_000 } }, 1_020],
  ['the longest of all locks', { locks: { orders: { drainLimitMs: 60_500 } } }, 81],
  ['a shorter one of the only lock', { locks: { orders: { drainLimitMs: 1_500 } } }, 22],
])('the grace period follows %s, and gives as much as Baton itself counts with', (_, config, seconds) => {
  const objects = render([simple], { config });
  const grace = worker(objects, 'us-east').terminationGracePeriodSeconds;
  expect(grace).toBe(seconds);
  const folder = mkdtempSync(join(tmpdir(), 'chart-config-'));
  const file = join(folder, 'baton.yaml');
  writeFileSync(file, find(objects, 'ConfigMap', 'orders-baton').data!['baton.yaml']!);
  const loaded = loadConfig({ file, env: {}, region: 'us-east', checkHandlers: false, cwd: folder });
  rmSync(folder, { recursive: true });
  expect(grace * 1_000).toBeGreaterThanOrEqual(stopLimitMs(loaded));
});

test('the network policy opens the ports that the addresses name', () => {
  const values = {
    etcd: { endpoints: ['https://etcd.example:12379', 'https://other.example'] },
    temporal: { address: 'temporal.example:17233' },
    regions: {
      'us-east': { rabbitmq: { url: 'amqps://rabbit.example/orders' } },
      'us-west': { rabbitmq: { url: 'amqp://rabbit.example:15999' } },
    },
    networkPolicy: { egress: { enabled: true } },
  };
  const { spec } = find(render([simple], values), 'NetworkPolicy', 'orders-baton');
  const ports = spec.egress.at(-1).ports.map(({ port }: { port: number }) => port);
  expect(ports.toSorted((a: number, b: number) => a - b)).toEqual([443, 5_671, 12_379, 15_999, 17_233]);
});

test('alert rules are those of deploy/prometheus, and only where they are asked for', () => {
  const rule = find(everything.production, 'PrometheusRule', 'orders-baton');
  const alerts = rule.spec.groups.flatMap((group: any) => group.rules.map(({ alert }: any) => alert));
  expect(alerts).toContain('BatonNoHolder');
  expect(JSON.stringify(rule)).toContain('{{ $labels.lock }}');
  const dashboard = find(everything.production, 'ConfigMap', 'orders-baton-grafana').data!['baton.json']!;
  expect(parse(dashboard)).toMatchObject({ title: 'Baton' });
  const kinds = everything['one cluster'].map(({ kind }) => kind);
  expect(kinds).not.toContain('PrometheusRule');
  expect(kinds).not.toContain('ServiceMonitor');
  expect(kinds).not.toContain('Ingress');
});

const badKey = 'additional properties';
test.each([
  ['an unknown value', { worker: {} }, badKey, 'worker'],
  [
    'an unknown setting of a lock',
    { config: { locks: { orders: { queue: { prefech: 3 } } } } },
    badKey,
    'prefech',
  ],
  ['a part of baton.yaml that has values of its own', { config: { etcd: {} } }, badKey, 'etcd'],
  [
    'a TTL that is no whole second',
    { config: { defaults: { leaseTtlMs: 2_500 } } },
    '/config/defaults/leaseTtlMs',
    '1,000',
  ],
  [
    'a lock without a queue',
    { config: { locks: { mails: { handler: '/h.js' } } } },
    '/config/locks/mails',
    "missing property 'queue'",
  ],
  [
    'a password in an address',
    { regions: { 'us-east': { rabbitmq: { url: 'amqp://a:b@host' } } } },
    '/regions/us-east/rabbitmq/url',
    'does not match pattern',
  ],
  [
    'a region that names no object',
    { regions: { US_EAST: { rabbitmq: { url: 'amqp://h' } } } },
    '/regions',
    'US_EAST',
  ],
  ['a region without a broker', { regions: { eu: {} } }, '/regions/eu', "missing property 'rabbitmq'"],
  [
    'a broker without an address',
    { regions: { eu: { rabbitmq: {} } } },
    'regions.eu.rabbitmq',
    'give url, or existingSecret',
  ],
  [
    'a scheme in the address of Temporal',
    { temporal: { address: 'https://temporal:7233' } },
    '/temporal/address',
    'does not match pattern',
  ],
  ['no etcd', { etcd: { endpoints: [] } }, '/etcd/endpoints', 'minItems'],
  ['root', { podSecurityContext: { runAsUser: 0 } }, '/podSecurityContext/runAsUser', 'minimum'],
  [
    'a grace period without margin',
    { workers: { shutdownMarginSeconds: 1 } },
    '/workers/shutdownMarginSeconds',
    'minimum',
  ],
  [
    'an ingress without a host',
    { dashboard: { ingress: { enabled: true } } },
    'dashboard.ingress.host',
    'must be given',
  ],
  [
    'a trusted header without a token',
    { dashboard: { identityHeader: 'X-User' } },
    'dashboard.identityHeader',
    'existingSecret',
  ],
])('helm refuses %s', (_, values, where, what) => {
  const said = refusal([simple], values);
  expect(said).toContain(where);
  expect(said).toContain(what);
});
