/** What `baton init` writes for Docker, built and started as it is; only its ports on this machine are other ones. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { connect } from 'amqplib';
import type { LockStatus } from '../../src/client/lock-status';
import { freePorts } from '../../src/dev/free-port';
import { eventually } from '../support/eventually';
import { must, root } from './command';

const TTL_MS = 10_000;
const LIMIT_MS = 120_000;
const ORDERS = 400;
const PACE_MS = 50;

const folder = mkdtempSync(join(tmpdir(), 'baton-starter-image-'));
const project = join(folder, 'shop');
/** Published by compose.yaml under these numbers. */
const published = { etcd: [2379], rabbitmq: [5672, 15_672], temporal: [7233, 8233] };
let brokerPort = 0;

const compose = (...args: string[]): Promise<string> =>
  must('docker', ['compose', '--project-directory', project, ...args]);
const inPod = (pod: string, ...args: string[]): Promise<string> => compose('exec', '-T', pod, ...args);

async function status(pod: string): Promise<LockStatus> {
  return (JSON.parse(await inPod(pod, 'baton', 'status', '--json')) as { locks: LockStatus[] }).locks[0]!;
}

beforeAll(async () => {
  await must(process.execPath, [join(root, 'dist/src/cli/main.js'), 'init', project, '--language', 'js']);
  const free = await freePorts(Object.values(published).flat().length);
  const services = Object.entries(published).map(([service, ports]) => {
    const own = ports.map((port) => {
      const other = free.shift()!;
      if (port === 5672) brokerPort = other;
      return `'127.0.0.1:${other}:${port}'`;
    });
    return `  ${service}: { ports: !override [${own.join(', ')}] }`;
  });
  writeFileSync(join(project, 'compose.override.yaml'), `services:\n${services.join('\n')}\n`);
  await compose('up', '--build', '--detach');
}, 600_000);

afterAll(async () => {
  await compose('down', '--volumes', '--timeout', '5');
  rmSync(folder, { recursive: true, force: true });
}, LIMIT_MS);

it('starts two regions, and a killed one is replaced with no order lost', async () => {
  await eventually(async () => {
    const { holder, regions } = await status('us-east');
    expect(holder).not.toBeNull();
    expect(regions.map(({ candidates }) => candidates?.ready)).toEqual([1, 1]);
  }, LIMIT_MS);
  const { region: first } = (await status('us-east')).holder!;
  const other = first === 'us-east' ? 'us-west' : 'us-east';

  const secret = /^RABBITMQ_PASSWORD=(.+)$/m.exec(readFileSync(join(project, '.env'), 'utf8'))![1]!;
  const connection = await connect(`amqp://baton:${secret}@127.0.0.1:${brokerPort}`);
  const channel = await connection.createConfirmChannel();
  const publish = async (from: number, to: number): Promise<void> => {
    for (let id = from; id < to; id++) {
      const order = { id: `order-${id}`, item: 'book', quantity: 1 };
      channel.sendToQueue('orders', Buffer.from(JSON.stringify(order)), {
        messageId: order.id,
        persistent: true,
      });
      await sleep(PACE_MS);
    }
    await channel.waitForConfirms();
  };
  const orders = async (): Promise<Set<string>> => {
    const text = await inPod(other, 'cat', '/var/lib/baton/orders.ndjson');
    const lines = text.trim().split('\n');
    return new Set(lines.map((line) => (JSON.parse(line) as { order: { id: string } }).order.id));
  };

  const half = ORDERS / 2;
  await publish(0, half);
  await eventually(async () => expect((await orders()).size).toBe(half), LIMIT_MS);
  const rest = publish(half, ORDERS);
  await compose('kill', first);
  await eventually(async () => expect((await status(other)).holder?.region).toBe(other), 4 * TTL_MS);
  await rest;
  await eventually(async () => expect((await orders()).size).toBe(ORDERS), LIMIT_MS);
  await connection.close();
}, 600_000);
