import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { connect } from 'amqplib';
import { type DevStack, startDevStack } from '../../src/dev/dev-stack';
import { runSoak, type SoakResult } from '../../src/endurance/soak';

jest.setTimeout(240_000);

let stack: DevStack;
let result: SoakResult;

/** Four rounds, a minute on a quiet machine, during which somebody else leaves a lease and a channel behind each second. */
beforeAll(async () => {
  stack = await startDevStack({ rabbitmqManagement: true });
  const folder = join(stack.folder, 'soak');
  mkdirSync(folder);
  const model = await connect(stack.rabbitmqUrl);
  const plant = async (): Promise<void> => {
    await model.createChannel();
    const body = JSON.stringify({ TTL: 600, ID: 0 });
    await fetch(`http://${stack.etcdAddresses[0]}/v3/lease/grant`, { method: 'POST', body });
  };
  const planting = setInterval(() => void plant(), 1_000);
  try {
    const least = { rounds: 4, readingsPerRound: 6 };
    const plan = {
      minutes: 0,
      switchSeconds: 1,
      readingSeconds: 1,
      locks: 2,
      rate: 50,
      least,
      goneSeconds: 8,
    };
    const signal = new AbortController().signal;
    result = await runSoak(plan, { stack, folder, say: () => {}, signal });
  } finally {
    clearInterval(planting);
    await model.close();
  }
});
afterAll(() => stack?.stop());

test('a soak finds the leases and channels that were planted, and nothing else that grows', () => {
  // So short a time says nothing about memory.
  const leaking = result.rows.filter(({ leaks, unit }) => leaks && unit !== 'MB').map(({ name }) => name);
  expect(leaking.toSorted()).toEqual(['RabbitMQ channels', 'etcd leases']);
  expect(result.problems.join('\n')).toMatch(
    /^etcd leases grew from [\d.]+ in the first quarter to [\d.]+ in the last$/m,
  );
  expect(result.problems.join('\n')).toMatch(/^\d+ etcd leases were left when all pods had ended$/m);
});

test('everything that could leak is counted', () => {
  const { readings, rows } = result;
  expect(readings.length).toBe(24);
  const last = new Map(rows.map(({ name, max }) => [name, max]));
  for (const [name, least] of [
    ...[['processes', 5] as const, ['agent memory, us-east-a', 20] as const, ['agent threads', 4] as const],
    ...[
      ['agent descriptors', 20] as const,
      ['listener descriptors', 10] as const,
      ['etcd watchers', 4] as const,
    ],
    ...[
      ['RabbitMQ connections', 3] as const,
      ['RabbitMQ consumers', 2] as const,
      ['open workflows', 4] as const,
    ],
    ...[['longest history', 10] as const, ['etcd leases of a day', 2] as const],
  ])
    expect([name, (last.get(name) ?? 0) >= least]).toEqual([name, true]);
  // Two pods, two locks: a lease each, beside those that were planted.
  expect(readings[0]?.values['etcd leases']).toBeGreaterThanOrEqual(4);
});

test('it switches under load and loses nothing; what is left of the pods is what was planted', () => {
  const { switches, messages, left } = result;
  expect(switches.failed).toEqual([]);
  expect(switches.done).toBe(8);
  expect(messages).toMatchObject({ lost: 0, duplicates: 0, forbiddenDuplicates: 0, overlaps: 0 });
  expect(messages.published).toBeGreaterThan(100);
  const {
    'etcd leases': _leases,
    'RabbitMQ channels': _channels,
    'RabbitMQ connections': own,
    ...others
  } = left;
  expect(own).toBe(1);
  for (const [name, count] of Object.entries(others)) expect([name, count]).toEqual([name, 0]);
});
