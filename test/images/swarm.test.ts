/** The same compose file as a Swarm stack, on a swarm of one node. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import type { LockStatus } from '../../src/client/lock-status';
import type { Receipt } from '../../workflows/contract';
import { eventually } from '../support/eventually';
import { command, docker, must } from './command';
import { pods, type LedgerVerdict } from './compose-project';

const UP_LIMIT_MS = 400_000;
const RECOVERY_LIMIT_MS = 60_000;

const folder = mkdtempSync(join(tmpdir(), 'baton-swarm-'));
const envFile = join(folder, '.env');

beforeAll(async () => {
  await must('sh', ['deploy/docker/make-secrets.sh', envFile]);
  await docker('swarm', 'init', '--advertise-addr', '127.0.0.1', '--listen-addr', '127.0.0.1');
  const stack = await must('sh', ['deploy/docker/stack.sh', '--env-file', envFile, '--profile', 'load']);
  await must('docker', ['stack', 'deploy', '--compose-file', '-', 'baton'], { input: stack });
}, 1_500_000);

afterAll(async () => {
  await command('docker', ['stack', 'rm', 'baton']);
  await command('docker', ['swarm', 'leave', '--force']);
  rmSync(folder, { recursive: true, force: true });
}, 180_000);

it('comes up by itself, and one region processes the load', async () => {
  await eventually(async () => {
    const { holder, regions } = await status();
    expect(holder).not.toBeNull();
    expect(regions.map(({ candidates }) => candidates?.ready)).toEqual([2, 2]);
  }, UP_LIMIT_MS);
  await flows();
}, 600_000);

it('replaces a killed holder, and starts its container again', async () => {
  const { holder } = await status();
  const service = pods.find((pod) => holder!.pod.startsWith(pod))!;
  await docker('kill', await containerOf(service));
  await eventually(async () => {
    const now = (await status()).holder?.pod;
    expect(now).toBeDefined();
    expect(now).not.toBe(holder!.pod);
  }, RECOVERY_LIMIT_MS);
  await flows();
  await eventually(async () => {
    expect((await status()).regions.map(({ candidates }) => candidates?.ready)).toEqual([2, 2]);
  }, UP_LIMIT_MS);
});

it("hands over when Swarm replaces the holder's task, and has lost nothing", async () => {
  const { holder } = await status();
  const { region } = holder!;
  const service = pods.find((pod) => holder!.pod.startsWith(pod))!;
  const node = (await docker('node', 'ls', '--quiet')).trim();
  await docker('node', 'update', '--label-add', `region=${region}`, node);
  const constraint = `node.labels.region==${region}`;
  await docker('service', 'update', '--force', '--constraint-add', constraint, `baton_${service}`);
  // A receipt is written after the change itself, by whichever region's workflow saw it.
  await eventually(async () => {
    const { receipts } = JSON.parse(await inPod('baton', 'history', '--json')) as { receipts: Receipt[] };
    expect(receipts.at(-1)).toMatchObject({ cause: 'shutdown', from: { pod: holder!.pod } });
  }, RECOVERY_LIMIT_MS);
  await flows();
  await docker('service', 'scale', '--detach', 'baton_load=0');
  const ledger = await inPod('node', '/opt/baton/dist/src/demo/ledger-main.js', '--json');
  console.log(ledger);
  const verdict = JSON.parse(ledger) as LedgerVerdict;
  expect(verdict).toMatchObject({ holds: true, lost: 0, overlaps: 0 });
  expect(verdict.published).toBeGreaterThan(1_000);
});

async function containerOf(service: string): Promise<string> {
  const filter = `label=com.docker.swarm.service.name=baton_${service}`;
  const [id] = (await docker('ps', '--quiet', '--filter', filter)).split('\n');
  if (!id) throw new Error(`${service} does not run`);
  return id;
}

async function inPod(...args: string[]): Promise<string> {
  for (const pod of pods) {
    const id = await containerOf(pod).catch(() => undefined);
    if (id) return docker('exec', id, ...args);
  }
  throw new Error('no pod runs');
}

async function status(): Promise<LockStatus> {
  return (JSON.parse(await inPod('baton', 'status', '--json')) as { locks: LockStatus[] }).locks[0]!;
}

async function flows(): Promise<void> {
  const processed = async (): Promise<number> =>
    Number(await inPod('sh', '-c', `cat /var/lib/baton/*.ndjson | grep -c '"e":"end"' || true`));
  const before = await processed();
  await eventually(async () => expect(await processed()).toBeGreaterThan(before), RECOVERY_LIMIT_MS);
}
