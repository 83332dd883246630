import { spawn } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { eventually } from '../support/eventually';
import { sharedServers } from '../support/servers';
import { ApiServer, pathOf } from './api-server';
import {
  chartFolder,
  example,
  find,
  helm,
  type KubernetesObject,
  namespace,
  podTemplates,
  release,
  render,
} from './chart';
import { monitoringCrds } from './monitoring-crds';
import { helmBuild } from './programs';

jest.setTimeout(240_000);

const examples = ['one-cluster', 'us-east'];
let api: ApiServer;

beforeAll(async () => {
  api = await ApiServer.start(sharedServers().etcd);
  for (const crd of monitoringCrds()) await api.mustApply(crd);
  for (const kind of ['servicemonitors', 'prometheusrules'])
    await eventually(async () => {
      const { status } = await api.get(`/apis/monitoring.coreos.com/v1/${kind}`);
      if (status !== 200) throw new Error(`${kind} are not served yet`);
    });
  const labels = {
    'pod-security.kubernetes.io/enforce': 'restricted',
    'pod-security.kubernetes.io/enforce-version': 'latest',
  };
  for (const name of [namespace, ...examples])
    await api.mustApply({ apiVersion: 'v1', kind: 'Namespace', metadata: { name, labels } });
});
afterAll(() => api?.stop());

/** A pod as its controller would make it. */
const podOf = ({ owner, metadata, spec }: ReturnType<typeof podTemplates>[number]): KubernetesObject => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name: owner.toLowerCase().replace('/', '-'), labels: metadata.labels },
  // What a Deployment fills in by itself.
  spec: { ...spec, restartPolicy: spec.restartPolicy ?? 'Always' },
});

describe.each(examples)('%s', (name) => {
  const objects = render([example(name)]);

  test.each([
    ['tried', true],
    ['applied', false],
  ])('every object is accepted when %s', async (_, dryRun) => {
    for (const object of objects) {
      const { status, body } = await api.apply(object, name, dryRun);
      const said = { kind: object.kind, status, message: body.message as string | undefined };
      expect(said).toEqual({ kind: object.kind, status: expect.any(Number), message: undefined });
      expect([200, 201]).toContain(status);
    }
    if (dryRun) return;
    const read = await api.get(pathOf(find(objects, 'Deployment', 'orders-baton-us-east'), name));
    expect(read.status).toBe(200);
  });

  test('every pod passes Pod Security admission "restricted"', async () => {
    const pods = podTemplates(objects).map(podOf);
    expect(pods.length).toBeGreaterThan(2);
    for (const pod of pods)
      expect(await api.create(pod, name, true)).toMatchObject({ status: 201, body: { kind: 'Pod' } });
  });
});

test('that admission is there: a pod with a privilege is refused, and so is a field that does not exist', async () => {
  const [template] = podTemplates(render([example('one-cluster')]));
  const pod = podOf(template!);
  pod.spec.containers[0].securityContext = { allowPrivilegeEscalation: true };
  const privileged = await api.create(pod, namespace, true);
  expect(privileged).toMatchObject({
    status: 403,
    body: { message: expect.stringContaining('PodSecurity') as string },
  });
  const misspelt = podOf(template!);
  misspelt.spec = { ...misspelt.spec, terminationGraceSeconds: 1 };
  expect(await api.create(misspelt, namespace, true)).toMatchObject({ status: 400 });
});

/** The API server that Go builds from the module does not know its own version, which the chart asks for. */
const anyVersion = mkdtempSync(join(tmpdir(), 'chart-'));
cpSync(chartFolder, anyVersion, { recursive: true });
const chartFile = join(anyVersion, 'Chart.yaml');
writeFileSync(chartFile, readFileSync(chartFile, 'utf8').replace(/^kubeVersion:.*$/m, ''));
afterAll(() => rmSync(anyVersion, { recursive: true }));

/** `helm upgrade --install` in a release of its own; the Job that starts the regions is played to its end. */
async function upgrade(values: string, ...more: string[]): Promise<{ code: number | null; output: string }> {
  const own = 'upgraded';
  const args = ['upgrade', '--install', own, anyVersion, `--namespace=${namespace}`, '--timeout=120s'];
  const child = spawn(join(helmBuild.folder, 'helm'), [...args, `--values=${values}`, ...more], {
    env: { ...process.env, ...api.environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (part: Buffer) => (output += String(part)));
  const end: { code?: number | null } = {};
  child.on('close', (code) => (end.code = code));
  const job = `/apis/batch/v1/namespaces/${namespace}/jobs/${own}-baton-start-regions`;
  const done = new Set<string>();
  while (end.code === undefined) {
    await sleep(200);
    const { status, body } = await api.get(job);
    if (status !== 200 || done.has(body.metadata.uid)) continue;
    const now = new Date().toISOString().replace(/\.\d+Z$/, 'Z');
    const condition = (type: string): object => ({ type, status: 'True', lastTransitionTime: now });
    const ended = await api.patchStatus(job, {
      startTime: now,
      completionTime: now,
      succeeded: 1,
      conditions: [condition('SuccessCriteriaMet'), condition('Complete')],
    });
    if (ended.status === 200) done.add(body.metadata.uid);
    else output += JSON.stringify(ended.body.message);
  }
  return { code: end.code, output };
}

test('a release is upgraded from one set of values to another, and back', async () => {
  const workers = async (): Promise<any[]> => {
    const { body } = await api.get(
      `/apis/apps/v1/namespaces/${namespace}/deployments?labelSelector=app.kubernetes.io/instance=upgraded,app.kubernetes.io/component=worker`,
    );
    return body.items;
  };
  const installed = await upgrade(example('one-cluster'));
  expect(installed).toMatchObject({
    code: 0,
    output: expect.stringContaining('Baton runs us-east, us-west'),
  });
  expect((await workers()).map(({ metadata }) => metadata.name)).toEqual([
    'upgraded-baton-us-east',
    'upgraded-baton-us-west',
  ]);

  const upgraded = await upgrade(example('us-east'));
  expect(upgraded).toMatchObject({ code: 0, output: expect.stringContaining('140 s') });
  const [only, ...others] = await workers();
  expect(others).toEqual([]);
  expect(only).toMatchObject({
    metadata: { name: 'upgraded-baton-us-east', generation: 2 },
    spec: { replicas: 3, template: { spec: { terminationGracePeriodSeconds: 140 } } },
  });

  const back = await upgrade(example('one-cluster'), '--set=workers.replicas=4');
  expect(back.code).toBe(0);
  expect((await workers()).map(({ spec }) => spec.replicas)).toEqual([4, 4]);

  const refused = await upgrade(example('one-cluster'), '--set=workers.replicas=-1');
  expect(refused).toMatchObject({ code: 1, output: expect.stringContaining('/workers/replicas') });
  expect((await workers()).map(({ spec }) => spec.replicas)).toEqual([4, 4]);
});

test('what helm says after an installation fits the values', () => {
  const dry = [
    'install',
    release,
    anyVersion,
    '--dry-run=client',
    `--values=${example('one-cluster')}`,
    '--set=startJob.enabled=false',
    '--set=dashboard.enabled=false',
  ];
  const said = helm(dry, api.environment);
  expect(said).toContain('baton start --region us-west');
  expect(said).toContain('has 50 s');
  expect(said).not.toContain('port-forward');
});
