import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import type { BenchReport } from '../../src/bench/bench';
import { sharedServers } from '../support/servers';

const dist = resolve(__dirname, '../../dist/src');

let folder: string;
beforeAll(() => (folder = mkdtempSync(join(tmpdir(), 'baton-throughput-test-'))));
afterAll(() => rmSync(folder, { recursive: true }));

/** In a process of its own, from dist, as it forks compiled programs. One round, of the least. */
const program = `
const { startDevStack } = require(${JSON.stringify(join(dist, 'dev/dev-stack.js'))});
const { measureThroughput } = require(${JSON.stringify(join(dist, 'bench/throughput-bench.js'))});
const { signal } = new AbortController();
startDevStack({ servers: ['etcd', 'rabbitmq', 'toxiproxy'] }).then(async (stack) => {
  const [, folder] = process.argv;
  const grid = { prefetches: [200, 500], handlers: [0], windowMs: 100, warmUpRounds: 1 };
  const context = { quick: true, rounds: () => 1, skips: () => false, stack, folder, say() {}, signal };
  process.stdout.write(JSON.stringify(await measureThroughput(context, grid).finally(() => stack.stop())));
  process.exit(0);
});
`;

function runOnce(): Promise<BenchReport> {
  const { etcd, rabbitmq } = sharedServers();
  const child = spawn(process.execPath, ['-e', program, folder], {
    env: { ...process.env, BATON_DEV_ETCD: etcd.join(','), BATON_DEV_RABBITMQ: rabbitmq },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let stdout = '';
  child.stdout.on('data', (chunk: Buffer) => (stdout += String(chunk)));
  return new Promise((done, failed) => {
    child.on('close', (code) =>
      code === 0 ? done(JSON.parse(stdout) as BenchReport) : failed(new Error(`exited with code ${code}`)),
    );
  });
}

test('each system gives a rate for each load, and every message of Baton was verified after it was received', async () => {
  const { results, goals, notes } = await runOnce();
  const systemsOf = (variant: string) =>
    results.filter((result) => result.variant === variant).map(({ system }) => system);
  expect(systemsOf('prefetch 500, handler 0 ms, etcd near').toSorted()).toEqual([
    'amqplib unverified',
    'amqplib unverified, batched acks',
    'baton',
    'one etcd read per message',
    'single active consumer',
  ]);
  expect(systemsOf('prefetch 500, handler 0 ms, etcd at 40 ms').toSorted()).toEqual([
    'amqplib unverified, 40 ms late',
    'amqplib unverified, 40 ms late, reads beside',
    'baton',
    'one etcd read per message',
  ]);
  expect(systemsOf('sent to started, 500 messages/s, etcd near').toSorted()).toEqual([
    'amqplib unverified',
    'baton',
  ]);
  for (const { n, samples, p50 } of results) {
    expect(n).toBe(samples.length);
    expect(p50).toBeGreaterThan(0);
  }
  expect(goals.map(({ goal }) => goal).join('\n')).toMatch(
    /prefetch 500, etcd near[^]*prefetch 200, etcd near[^]*40 ms[^]*latency added/,
  );
  expect(goals.find(({ goal }) => goal.includes('prefetch 500, etcd at 40 ms'))?.measured).toMatch(
    /; merely waiting 40 ms: .+, with reads beside: /,
  );
  const [, handled, verified] =
    /Of the (\d+) messages that Baton handled, (\d+) were/.exec(notes[0] ?? '') ?? [];
  expect(Number(handled)).toBeGreaterThan(10_000);
  expect(verified).toBe(handled);
});
