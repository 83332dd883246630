import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { loadConfig } from '../../src/config/load-config';
import { stopLimitMs } from '../../src/config/stop-limit';
import { jobParserBuild } from '../kubernetes/programs';

const jobFile = resolve(__dirname, '../../deploy/nomad/baton.nomad.hcl');
const given = {
  image: 'registry.example/orders:1',
  regions: `{ "us-east" = { datacenters = ["dc1", "dc2"], count = 3 }, "us-west" = { datacenters = ["dc3"], count = 2 } }`,
  etcd_endpoints: '["https://etcd-0.example:2379"]',
  temporal_address: 'temporal.example:7233',
  locks: '{ orders: { drainLimitMs: 45000, queue: { name: orders }, handler: /app/orders.js } }',
  drain_limit_seconds: '45',
};

/** Nomad's own parser, with Nomad's defaults filled in. */
function parse(
  variables: Partial<typeof given>,
  file = jobFile,
): { status: number | null; job: any; stderr: string } {
  const program = join(jobParserBuild.folder, 'nomad-job-parser');
  const args = Object.entries(variables).map(([name, value]) => `${name}=${value}`);
  const { status, stdout, stderr } = spawnSync(program, [file, ...args], { encoding: 'utf8' });
  return { status, stderr, job: status === 0 ? JSON.parse(stdout) : null };
}

const { status, job, stderr } = parse(given);
const groups: any[] = job?.TaskGroups ?? [];
const task = (group: any, name: string): any => group.Tasks.find(({ Name }: any) => Name === name);

test("Nomad's parser accepts the job: a group for each region", () => {
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  expect(job.Datacenters).toEqual(['dc1', 'dc2', 'dc3']);
  expect(groups.map(({ Name, Count }) => [Name, Count])).toEqual([
    ['us-east', 3],
    ['us-west', 2],
  ]);
  expect(groups[0].Constraints).toEqual([
    expect.objectContaining({ LTarget: '${node.datacenter}', RTarget: 'dc1,dc2' }),
  ]);
});

test.each([0, 1])('each region starts its workflow first, and then runs its pods (%i)', (index) => {
  const group = groups[index];
  expect(task(group, 'start-region')).toMatchObject({
    Lifecycle: { Hook: 'prestart', Sidecar: false },
    Config: { args: ['start', '--region', group.Name, '--config', '/local/baton.yaml'] },
  });
  const worker = task(group, 'worker');
  expect(worker).toMatchObject({
    User: '10001',
    KillSignal: 'SIGTERM',
    Config: {
      args: ['worker', '--region', group.Name, '--config', '/local/baton.yaml'],
      readonly_rootfs: true,
      cap_drop: ['all'],
    },
    Env: { BATON_POD_NAME: '${NOMAD_SHORT_ALLOC_ID}', BATON_HEALTH_PORT: '${NOMAD_PORT_health}' },
  });
  expect(group.Services.map(({ Checks: [check] }: any) => check.Path)).toEqual(['/readyz', '/livez']);
  expect(group.Update).toMatchObject({ MaxParallel: 1, Canary: 1, AutoPromote: true });
});

test('the configuration that it writes is one, and the time to end is what Baton counts with', () => {
  const worker = task(groups[0], 'worker');
  const folder = mkdtempSync(join(tmpdir(), 'nomad-'));
  const file = join(folder, 'baton.yaml');
  writeFileSync(file, worker.Templates[0].EmbeddedTmpl);
  const env = { BATON_RABBITMQ_URL: 'amqp://rabbitmq.example' };
  const config = loadConfig({ file, env, region: 'us-east', checkHandlers: false, cwd: folder });
  rmSync(folder, { recursive: true });
  expect(config.locks.map(({ name }) => name)).toEqual(['orders']);
  // In nanoseconds.
  expect(worker.KillTimeout / 1e6).toBe(stopLimitMs(config));
});

test('secrets come from Nomad variables, and from nowhere else', () => {
  const [, secrets] = task(groups[0], 'worker').Templates;
  expect(secrets).toMatchObject({ DestPath: 'secrets/baton.env', Envvars: true, ChangeMode: 'restart' });
  const lines = (secrets.EmbeddedTmpl as string).split('\n').filter((line) => line.includes('='));
  expect(lines.length).toBeGreaterThan(3);
  for (const line of lines) expect(line.trim()).toMatch(/^BATON_[A-Z_]+=\{\{ \.\w+ \}\}$/);
});

test('a variable that is missing, and a word that Nomad does not know, are refused', () => {
  const { image: _, ...rest } = given;
  expect(parse(rest)).toMatchObject({ status: 1, stderr: expect.stringContaining('image') as string });
  const folder = mkdtempSync(join(tmpdir(), 'nomad-'));
  const file = join(folder, 'wrong.hcl');
  writeFileSync(file, readFileSync(jobFile, 'utf8').replaceAll('kill_timeout', 'kill_time'));
  const wrong = parse(given, file);
  rmSync(folder, { recursive: true });
  expect(wrong).toMatchObject({ status: 1, stderr: expect.stringContaining('kill_time') as string });
});
