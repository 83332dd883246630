import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect } from 'amqplib';
import { Publisher } from '../demo/publisher';
import type { DevStack } from '../dev/dev-stack';
import type { Figures } from './cost-figures';
import { type CostFleet, prefetch } from './cost-fleet';
import { etcdRequests, increase, readProcess } from './cost-meters';
import { builtFile } from './pod-fleet';

export interface LoadPlan {
  /** Messages per second. */
  rates: number[];
  windows: { count: number; ms: number };
}

/** Who bears the load: by role, the pids to look at. */
type Consumers = () => { role: string; pid: number }[];

const warmUpMs = 1_500;
const drainLimitMs = 15_000;
const plainSystem = 'amqplib unverified';

/** The active pod of a fleet of one lock, under messages whose handler does nothing. */
export async function measureBatonLoad(
  fleet: CostFleet,
  plan: LoadPlan,
  figures: Figures,
  stack: DevStack,
  signal: AbortSignal,
): Promise<string[]> {
  const consumers: Consumers = () => fleet.processesOf(fleet.active);
  return underLoad({ queue: fleet.queue, consumers, total: 'baton', plan, figures, stack, signal });
}

/** The same messages at a plain consumer: one process, the same prefetch, one acknowledgement per message. */
export async function measurePlainLoad(
  plan: LoadPlan,
  figures: Figures,
  stack: DevStack,
  signal: AbortSignal,
): Promise<string[]> {
  const queue = 'cost-plain';
  const connection = await connect(stack.rabbitmqUrl);
  const channel = await connection.createChannel();
  await channel.assertQueue(queue, { durable: true, arguments: { 'x-queue-type': 'quorum' } });
  const child = spawn(
    process.execPath,
    [builtFile('bench/cost-consumer.js'), stack.rabbitmqUrl, queue, String(prefetch)],
    {
      stdio: ['pipe', 'pipe', 'inherit'],
      env: { ...process.env, ...stack.environment },
      signal,
    },
  );
  child.on('error', () => {}); // Its end shows in the figures; the abort is thrown below.
  try {
    await once(child.stdout, 'data', { signal });
    const consumers: Consumers = () => [{ role: plainSystem, pid: child.pid! }];
    return await underLoad({ queue, consumers, total: null, plan, figures, stack, signal });
  } finally {
    await end(child);
    await connection.close();
  }
}

interface LoadTarget {
  queue: string;
  consumers: Consumers;
  /** The system that the sum of all roles is given as. */
  total: string | null;
  plan: LoadPlan;
  figures: Figures;
  stack: DevStack;
  signal: AbortSignal;
}

async function underLoad(target: LoadTarget): Promise<string[]> {
  const { queue, plan, stack, signal } = target;
  const notes: string[] = [];
  const publisher = await Publisher.connect(stack.rabbitmqUrl, queue, (problem) => notes.push(problem));
  try {
    // Baton's own idle figures are those of cost-idle.
    if (target.total === null) await measureRate(target, publisher, 0, 'idle');
    for (const rate of plan.rates) {
      publisher.start(rate);
      await sleep(warmUpMs, undefined, { signal });
      await measureRate(target, publisher, rate, `1 lock, ${rate} messages/s`);
      publisher.pause();
      await publisher.settle();
      for (const giveUpAt = performance.now() + drainLimitMs; (await publisher.queued()) > 0;) {
        if (performance.now() > giveUpAt)
          throw new Error(`queue ${queue} was not emptied after the load of ${rate}/s`);
        await sleep(100, undefined, { signal });
      }
    }
    return notes;
  } finally {
    await publisher.close();
  }
}

async function measureRate(
  target: LoadTarget,
  publisher: Publisher,
  rate: number,
  variant: string,
): Promise<void> {
  const { consumers, total, plan, figures, stack, signal } = target;
  const read = async () => ({
    atMs: performance.now(),
    processes: consumers().map(({ role, pid }) => ({ role, pid, reading: readProcess(pid) })),
    etcd: await etcdRequests(stack.etcdAddresses),
    // What left the queue has been handled, or is at most a prefetch away from it.
    handled: publisher.published.size - (await publisher.queued()),
  });
  let before = await read();
  for (let i = 0; i < plan.windows.count; i++) {
    await sleep(plan.windows.ms, undefined, { signal });
    const after = await read();
    const seconds = (after.atMs - before.atMs) / 1000;
    let [cpuSum, memorySum] = [0, 0];
    for (const { role, pid, reading } of after.processes) {
      const then = before.processes.find((each) => each.pid === pid)?.reading;
      if (!reading || !then) continue;
      const cpu = (100 * (reading.cpuSeconds - then.cpuSeconds)) / seconds;
      figures.add(variant, role, '% of a core', cpu);
      figures.add(variant, role, 'MB', reading.memoryMb);
      cpuSum += cpu;
      memorySum += reading.memoryMb;
    }
    if (total !== null) {
      figures.add(variant, total, '% of a core', cpuSum);
      figures.add(variant, total, 'MB', memorySum);
    }
    if (rate > 0) {
      figures.add(variant, total ?? plainSystem, 'msg/s', (after.handled - before.handled) / seconds);
      const reads = increase(before.etcd, after.etcd).get('Range') ?? 0;
      if (total !== null) figures.add(`${variant}, etcd Range`, total, 'requests/s', reads / seconds);
    }
    before = after;
  }
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, 'exit');
  child.kill('SIGKILL');
  await gone;
}
