import { readFileSync } from 'node:fs';
import { temporal } from '@temporalio/proto';
import { Worker } from '@temporalio/worker';
import pino from 'pino';
import type { Config } from '../../src/config/config';
import { type DevStack, startDevStack } from '../../src/dev/dev-stack';
import { connectClient, connectTemporal } from '../../src/temporal/connection';
import { runWorkers } from '../../src/temporal/workers';
import { workflowBundlePath } from '../../src/temporal/workflow-bundle';
import { version } from '../../src/version';
import { podQueue, type RegionStatus, regionWorkflowId } from '../../workflows/contract';
import { eventually } from '../support/eventually';
import { FakeOperator } from '../workflows/fake-operator';
import { FakePod, FakeTruth } from '../workflows/fake-pod';

jest.setTimeout(120_000);

let stack: DevStack;
beforeAll(async () => {
  stack = await startDevStack({ servers: ['temporal'], temporalPersistent: true });
});
afterAll(() => stack.stop());

const region = 'east';

/** The workers of a pod whose activities are made up, and a client. `deployment`: as in the configuration. */
async function startPod(
  lock: string,
  pod: string,
  deployment?: string,
  { historyLimit = 10_000, truth = new FakeTruth() } = {},
) {
  const timings = {
    beatMs: 1_000,
    drainLimitMs: 1_000,
    historyLimit,
    minSwitchIntervalMs: 0,
    hooks: [],
  };
  const config = {
    temporal: { address: stack.temporalAddress, ...(deployment !== undefined && { deployment }) },
    locks: [{ name: lock, ...timings }],
  } as unknown as Config;
  const activities = new FakePod(lock, region, pod, truth);
  const queue = podQueue(region, pod);
  const client = await connectClient(config);
  const workers = await runWorkers({
    config,
    region,
    queue,
    pod: activities,
    operator: new FakeOperator(),
    logger: pino({ level: 'silent' }),
  });
  const phaseIs = (phase: string): Promise<void> =>
    eventually(async () => expect(await client.status(lock, region)).toMatchObject({ phase }), 40_000);
  return { config, truth, pod: activities, queue, client, workers, phaseIs };
}

it('workers and client survive an outage of Temporal, and stop in time', async () => {
  const lock = 'orders';
  const { truth, pod, queue, client, workers, phaseIs } = await startPod(lock, 'p1');
  await client.start(lock, region);
  await client.podReady(lock, region, { pod: 'p1', queue });
  truth.give(pod);
  await phaseIs('active');

  await stack.temporal.kill();
  expect(await client.tenureEnded(lock, region, { pod: 'p1', token: 1, why: 'x' })).toMatchObject({
    outcome: 'unreachable',
  });
  await stack.temporal.start();
  truth.takeAway();
  await phaseIs('standby');

  pod.end();
  const began = Date.now();
  await workers.shutdown();
  await workers.shutdown();
  expect(Date.now() - began).toBeLessThan(30_000);
  expect(await workers.ended).toBeNull();
  await client.close();
});

it("a pod that was frozen in a workflow task does not die of the SDK's time limit for it", async () => {
  const create = jest.spyOn(Worker, 'create');
  const { client, pod, workers } = await startPod('calls', 'p3');
  const ofRegion = await (create.mock.results[0]?.value as Promise<Worker>);
  expect(ofRegion.options).toMatchObject({ isolateExecutionTimeoutMs: 2 ** 31 - 1 });
  create.mockRestore();
  pod.end();
  await workers.shutdown();
  await client.close();
});

it('a region workflow that cannot be replayed is replaced by the server, and knows what it knew', async () => {
  const lock = 'lost';
  const { config, truth, pod, queue, client, workers, phaseIs } = await startPod(lock, 'p4', undefined, {
    historyLimit: 200,
  });
  await client.start(lock, region);
  await client.podReady(lock, region, { pod: 'p4', queue });
  const { token } = truth.give(pod);
  await phaseIs('active');
  const statusOf = async (): Promise<RegionStatus> => (await client.status(lock, region)) as RegionStatus;
  // In a run that continues another one, whose end must not lose it the server's promise to begin again.
  await eventually(async () => {
    await client.tenureEnded(lock, region, { pod: 'p4', token: 1, why: 'long ago' });
    expect(await statusOf()).toMatchObject({ runs: 2 });
  }, 60_000);
  const beats = (): number => pod.callsOf('renewLease').length;
  const before = beats();
  await eventually(() => expect(beats()).toBeGreaterThan(before + 1));
  pod.end();
  await workers.shutdown();

  const raw = await connectTemporal(config);
  const workflowId = regionWorkflowId(lock, region);
  const lost = await raw.workflow.getHandle(workflowId).describe();
  const code = readFileSync(workflowBundlePath, 'utf8');
  const changed = code.replaceAll('.renewLease({', '.inspectLock({');
  expect(changed).not.toBe(code);
  const create = Worker.create.bind(Worker);
  jest
    .spyOn(Worker, 'create')
    .mockImplementation((options) =>
      create(options.workflowBundle ? { ...options, workflowBundle: { code: changed } } : options),
    );
  const next = await startPod(lock, 'p5', undefined, { truth });
  try {
    truth.give(next.pod);
    await eventually(async () => {
      // As every pod does that is not asked to stand.
      await client.podReady(lock, region, { pod: 'p5', queue: next.queue });
      await new Promise((done) => setTimeout(done, 1_000));
      const { tenure, pods } = await statusOf();
      expect(tenure?.token).toBe(token + 10);
      expect(pods.map((each) => each.pod)).toEqual(['p4', 'p5']);
    }, 60_000);
    // A pod refuses what is older than what it has been asked before.
    const seqs = (asked: FakePod, method: 'renewLease' | 'awaitTenure'): number[] =>
      asked.callsOf<{ seq: number }>(method).map(({ seq }) => seq);
    expect(Math.min(...seqs(next.pod, 'awaitTenure'))).toBeGreaterThan(Math.max(...seqs(pod, 'renewLease')));
    const { events } = await raw.workflow.getHandle(workflowId, lost.runId).fetchHistory();
    expect(events?.at(-1)?.workflowExecutionFailedEventAttributes?.failure?.message).toContain(
      'Nondeterminism error',
    );
    // Continued again it is a run like any other, which forgets nothing that was sent to it.
    await eventually(async () => {
      await client.tenureEnded(lock, region, { pod: 'p5', token: 1, why: 'long ago' });
      expect(await statusOf()).toMatchObject({ runs: 3 });
    }, 60_000);
    const present = await raw.workflow.getHandle(workflowId).fetchHistory();
    expect(present.events?.[0]?.workflowExecutionStartedEventAttributes?.attempt).toBe(1);
  } finally {
    jest.restoreAllMocks();
    next.pod.end();
    await next.workers.shutdown();
    await Promise.all([client.close(), next.client.close(), raw.connection.close()]);
  }
});

it('with a deployment, region workflows go on with its current version, on whose word alone', async () => {
  const [lock, deployment] = ['bills', 'baton-test'];
  const { config, truth, pod, queue, client, workers, phaseIs } = await startPod(lock, 'p2', deployment);
  const raw = await connectTemporal(config);
  try {
    await client.start(lock, region);
    const described = async () => {
      const { raw: answer } = await raw.workflow.getHandle(regionWorkflowId(lock, region)).describe();
      return answer.workflowExecutionInfo;
    };
    // Nobody has said which version is current: nobody is given its tasks, and it has done nothing yet.
    await new Promise((done) => setTimeout(done, 2_000));
    expect(Number((await described())?.historyLength)).toBe(2);

    await eventually(
      () =>
        raw.workflowService.setWorkerDeploymentCurrentVersion({
          namespace: 'default',
          deploymentName: deployment,
          version: `${deployment}.${version}`,
        }),
      20_000,
    );
    await client.podReady(lock, region, { pod: 'p2', queue });
    truth.give(pod);
    await phaseIs('active');
    const { versioningInfo } = (await described()) ?? {};
    expect(versioningInfo).toMatchObject({
      behavior: temporal.api.enums.v1.VersioningBehavior.VERSIONING_BEHAVIOR_AUTO_UPGRADE,
      deploymentVersion: { deploymentName: deployment, buildId: version },
    });
  } finally {
    pod.end();
    await workers.shutdown();
    await client.close();
    await raw.connection.close();
  }
});
