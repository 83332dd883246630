import { connect } from 'amqplib';
import { Etcd3 } from 'etcd3';
import { type DevStack, startDevStack } from '../../src/dev/dev-stack';
import type { Comparison } from '../../src/verify/lock-views';
import { regionWorkflowId } from '../../workflows/contract';
import { eventually } from '../support/eventually';
import { sharedServers } from '../support/servers';
import { TestSystem } from '../support/test-system';

jest.setTimeout(240_000);

let broker: DevStack;
let system: TestSystem;

beforeAll(async () => {
  broker = await startDevStack({ servers: ['rabbitmq'], rabbitmqManagement: true });
  const management = new URL(broker.rabbitmq.managementUrl ?? '');
  management.username = management.password = 'guest';
  system = await TestSystem.create({
    servers: { ...sharedServers(), rabbitmq: broker.rabbitmqUrl },
    managementUrl: management.href,
    verifyIntervalMs: 1_000,
  });
  await system.bringUp();
});
afterAll(async () => {
  await system?.stop();
  await broker?.stop();
});

/** `away`: what could not be asked, and why. */
async function verify(): Promise<{ code: number | null; away: string[] } & Comparison> {
  const { code, stdout, stderr } = await system.tryBaton('verify', '--json');
  if (stdout === '') throw new Error(stderr);
  const [found] = (JSON.parse(stdout) as { locks: Comparison[] }).locks;
  if (!found) throw new Error(stdout);
  const away = found.views.flatMap(({ view, of, reached, says }) =>
    reached === 'yes' ? [] : [`${view} ${of}: ${says}`],
  );
  return { code, away, ...found };
}

/** Lines of a pod's /metrics that begin so. */
async function metric(pod: string, name: string): Promise<string[]> {
  const [line] = await system.logLines(pod, 'health server listens');
  const response = await fetch(`http://127.0.0.1:${String(line?.['healthPort'])}/metrics`);
  return (await response.text()).split('\n').filter((row) => row.startsWith(name));
}

async function page(pod: string, path: string): Promise<{ status: number; body: unknown }> {
  const [line] = await system.logLines(pod, 'health server listens');
  const response = await fetch(`http://127.0.0.1:${String(line?.['healthPort'])}${path}`);
  return { status: response.status, body: await response.json() };
}

const agreed = (): ReturnType<typeof verify> =>
  eventually(async () => {
    const found = await verify();
    expect(found).toMatchObject({ code: 0, disagreements: [], away: [] });
    return found;
  }, 60_000);

test('etcd, workflows, pods and broker agree on a lock that is held', async () => {
  const [{ views, holder, overlap }, { stdout, code }] = await Promise.all([
    agreed(),
    eventually(async () => {
      const text = await system.tryBaton('verify');
      expect(text.code).toBe(0);
      return text;
    }, 60_000),
  ]);
  expect(overlap).toBe(false);
  expect(holder?.pod).toMatch(/^us-east-a-/);
  const party = `us-east/${holder?.pod}`;
  expect(views.map(({ view, of, reached }) => ({ view, of, reached }))).toEqual([
    { view: 'etcd', of: '', reached: 'yes' },
    { view: 'workflow', of: 'us-east', reached: 'yes' },
    { view: 'workflow', of: 'us-west', reached: 'yes' },
    { view: 'pod', of: party, reached: 'yes' },
    { view: 'pod', of: expect.stringMatching(/^us-west\/us-west-a-/), reached: 'yes' },
    { view: 'broker', of: 'us-east, us-west', reached: 'yes' },
  ]);
  expect(views.map(({ claims }) => claims.map((claim) => claim.party))).toEqual([
    [party],
    [party],
    [],
    [party],
    [],
    [party],
  ]);
  expect({ code, stdout }).toEqual({
    code: 0,
    stdout: expect.stringContaining(': etcd, workflows, pods and brokers agree\n'),
  });
});

test('the health pages say who holds the lock and who could', async () => {
  const { lock } = system;
  expect(await page('us-east-a', `/holder/${lock}`)).toMatchObject({
    status: 200,
    body: { ok: true, region: 'us-east', locks: [{ lock, token: expect.any(Number) }] },
  });
  expect(await page('us-east-a', '/standby')).toMatchObject({
    status: 503,
    body: { ok: false, why: expect.stringContaining('holds the lock with token') },
  });
  expect(await page('us-west-a', '/standby')).toMatchObject({ status: 200, body: { ok: true } });
  expect(await page('us-west-a', '/holder')).toMatchObject({
    status: 503,
    body: { why: `${lock}: does not hold the lock`, locks: [{ token: null }] },
  });
  for (const each of ['/livez', '/readyz', '/startupz'])
    expect(await page('us-west-a', each)).toMatchObject({ status: 200, body: { ok: true } });
});

test("a pod's metrics have the SDK's beside Baton's, and the beats of its workflow", async () => {
  await eventually(async () => {
    expect(await metric('us-east-a', 'temporal_')).not.toEqual([]);
    const [beats = ''] = await metric('us-east-a', 'baton_beat_interval_seconds_count');
    expect(Number(beats.split(' ')[1])).toBeGreaterThan(0);
    expect(await metric('us-west-a', 'baton_standby')).toEqual([`baton_standby{lock="${system.lock}"} 1`]);
  });
  expect(await metric('us-east-a', 'baton_beat_age_seconds{')).toHaveLength(1);
  expect(await metric('us-west-a', 'baton_beat_age_seconds{')).toEqual([]);
});

test("somebody else's consumer on the queue is found, also in the background, until it is gone", async () => {
  const model = await connect(broker.rabbitmqUrl, {
    clientProperties: { connection_name: 'a forgotten script' },
  });
  const channel = await model.createChannel();
  await channel.consume(system.lock, () => {});
  const inTheBackground = eventually(async () => {
    expect(await metric('us-east-a', 'baton_views_overlap')).toEqual([
      `baton_views_overlap{lock="${system.lock}"} 1`,
    ]);
    const [age = ''] = await metric('us-east-a', 'baton_views_disagreement_age_seconds');
    expect(Number(age.split(' ')[1])).toBeGreaterThan(1);
  }, 60_000);
  const [{ code, disagreements }] = await Promise.all([
    eventually(async () => {
      const found = await verify();
      expect(found).toMatchObject({ verdict: 'disagree', overlap: true, away: [] });
      return found;
    }, 60_000),
    inTheBackground,
  ]);
  expect(code).toBe(1);
  expect(disagreements).toContainEqual(expect.stringContaining('somebody else (a forgotten script, tag '));
  await model.close();
  await agreed();
  await eventually(
    async () =>
      expect(await metric('us-east-a', 'baton_views_disagree{')).toEqual([
        `baton_views_disagree{lock="${system.lock}"} 0`,
      ]),
    40_000,
  );
});

test('a workflow that somebody has terminated disagrees with the pod that goes on', async () => {
  const client = await system.temporalClient();
  await client.workflow.getHandle(regionWorkflowId(system.lock, 'us-east')).terminate('a mistake');
  const watched = ['verify', '--watch', '--config', system.configFile()];
  const { stdout } = await system.runUntil(
    /they disagree \(for \d+s at least\)\n[^]*?\n {2}disagree:.*\n/,
    ...watched,
  );
  expect(stdout).toMatch(
    /^ {2}disagree: the workflow of us-east is not running, while etcd shows us-east\/us-east-a-/m,
  );
  expect(stdout).not.toContain('two are at work at once');
  await system.baton('start', '--region', 'us-east');
  await agreed();
});

test('a holder key that somebody has overwritten disagrees with everybody else', async () => {
  const etcd = new Etcd3({ hosts: system.servers.etcd.map((address) => `http://${address}`) });
  const value = { region: 'us-west', pod: 'us-west-z-1', since: new Date().toISOString() };
  await etcd.put(`/baton/${system.lock}/holder`).value(JSON.stringify(value));
  const { code, verdict, disagreements, views } = await verify();
  expect({ code, verdict }).toEqual({ code: 1, verdict: 'disagree' });
  expect(views[0]).toMatchObject({ claims: [{ party: 'us-west/us-west-z-1' }] });
  expect(disagreements).toContainEqual(
    expect.stringMatching(/^the workflow of us-west says nobody, etcd says us-west\/us-west-z-1/),
  );
  expect(disagreements).toContainEqual(
    expect.stringContaining(`has no consumer of ${system.lock}, etcd says us-west/us-west-z-1`),
  );
  // Nobody could say whether a pod of that name is there.
  expect(views).toContainEqual(
    expect.objectContaining({ view: 'pod', of: 'us-west/us-west-z-1', reached: 'no' }),
  );
  await etcd.delete().key(`/baton/${system.lock}/holder`);
  etcd.close();
  await agreed();
});

test('what cannot be asked counts as unknown, not as agreement', async () => {
  await broker.rabbitmq.stop();
  const { code, verdict, views } = await verify();
  expect({ code, verdict: verdict === 'agree' }).toEqual({ code: 1, verdict: false });
  expect(views).toContainEqual(
    expect.objectContaining({ view: 'broker', reached: 'no', says: expect.stringContaining('ECONNREFUSED') }),
  );
});

test('bad input ends with 2', async () => {
  const { code, stderr } = await system.tryBaton('verify', '--lock', 'nothing');
  expect({ code, stderr }).toEqual({
    code: 2,
    stderr: expect.stringContaining('lock nothing is not in the configuration'),
  });
});
