import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { BenchContext, BenchReport } from '../../src/bench/bench';
import { measureCost } from '../../src/bench/cost-bench';
import { type DevStack, startDevStack } from '../../src/dev/dev-stack';
import { sharedServers } from '../support/servers';

jest.setTimeout(120_000);

let stack: DevStack;
let folder: string;
let report: BenchReport;

/** One lock for a few seconds: what the figures are made of, not what they are. */
beforeAll(async () => {
  // etcd's and Temporal's counters must be those of this fleet alone; the broker's are not read.
  stack = await startDevStack({ servers: ['etcd', 'temporal'] });
  stack.rabbitmqUrl = sharedServers().rabbitmq;
  folder = mkdtempSync(join(tmpdir(), 'baton-cost-'));
  const context: BenchContext = {
    quick: true,
    rounds: (_full, quick) => quick,
    skips: () => false,
    stack,
    folder,
    say: () => {},
    signal: new AbortController().signal,
  };
  report = await measureCost(context, {
    fleets: [{ locks: 1, windows: 2, starts: 1 }],
    beatMs: 1_000,
    idleMs: 3_000,
    load: { rates: [200], windows: { count: 2, ms: 1_000 } },
    history: null,
  });
});

afterAll(async () => {
  await stack?.stop();
  if (folder) rmSync(folder, { recursive: true, force: true });
});

const series = (variant: string, system: string, unit: string): number[] => {
  const found = report.results.filter(
    (result) => result.variant === variant && result.system === system && result.unit === unit,
  );
  expect(found).toHaveLength(1);
  return found[0]!.samples;
};

test('every figure is finite, not negative, and stands under one name only', () => {
  const names = report.results.map(({ bench, variant, system, unit }) =>
    [bench, variant, system, unit].join(),
  );
  expect(new Set(names).size).toBe(names.length);
  for (const { bench, n, samples, p50, p95, p99, max } of report.results) {
    expect(bench).toBe('cost');
    expect(samples).toHaveLength(n);
    expect(n).toBeGreaterThan(0);
    for (const figure of [...samples, p50, p95, p99, max]) {
      expect(Number.isFinite(figure)).toBe(true);
      expect(figure).toBeGreaterThanOrEqual(0);
    }
  }
});

test('every part was measured to its end', () => {
  expect(report.notes.filter((note) => note.startsWith('Not measured'))).toEqual([]);
});

test('idle: both etcd and Temporal are asked, and their parts add up', () => {
  const requests = series('1 lock idle', 'baton', 'requests/s');
  expect(requests).toHaveLength(2);
  const parts = ['Range', 'Txn', 'LeaseKeepAlive', 'Watch'].map((method) =>
    series(`1 lock idle, etcd ${method}`, 'baton', 'requests/s'),
  );
  for (const [index, sum] of requests.entries()) {
    expect(sum).toBeGreaterThan(0);
    expect(parts.reduce((total, part) => total + part[index]!, 0)).toBeLessThanOrEqual(sum * 1.001);
  }
  for (const actions of series('1 lock idle, per lock', 'baton', 'actions/day'))
    expect(actions).toBeGreaterThan(0);
});

test('one beat of the active region is the events that design.md counts', () => {
  // On a busy machine a workflow task may be repeated, which adds events.
  expect(Math.min(...series('1 lock idle, one beat', 'baton', 'events'))).toBe(11);
});

test('agent, listener and spare are measured apart, and only the holder has a spare', () => {
  for (const unit of ['% of a core', 'MB']) {
    for (const role of ['baton agent', 'baton listener', 'baton spare'])
      expect(series('1 lock idle, active pod', role, unit)).toHaveLength(2);
    for (const role of ['baton agent', 'baton listener'])
      expect(series('1 lock idle, standby pod', role, unit)).toHaveLength(2);
  }
  const spares = report.results.filter(({ system }) => system === 'baton spare');
  expect(spares.filter(({ variant }) => variant.includes('standby'))).toEqual([]);
  for (const role of ['baton agent', 'baton listener', 'baton spare'])
    for (const memory of series('1 lock idle, active pod', role, 'MB')) expect(memory).toBeGreaterThan(1);
});

test('under load Baton and the plain consumer handle what is published', () => {
  for (const system of ['baton', 'amqplib unverified'])
    for (const rate of series('1 lock, 200 messages/s', system, 'msg/s')) {
      expect(rate).toBeGreaterThan(20);
      expect(rate).toBeLessThan(2_000);
    }
  const reads = series('1 lock, 200 messages/s, etcd Range', 'baton', 'requests/s');
  for (const each of reads) expect(each).toBeGreaterThan(1);
});

test('a pod is ready some time after it was started', () => {
  const [seconds] = series('start of a pod with 1 lock', 'baton', 's');
  expect(seconds).toBeGreaterThan(0.1);
});
