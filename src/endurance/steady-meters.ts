import { etcdRequests, increase, readProcess, sumOf, temporalActions } from '../bench/cost-meters';
import { beatsOf } from '../bench/cost-history';
import type { PodFleet } from '../bench/pod-fleet';
import type { DevStack } from '../dev/dev-stack';

/** What a fleet costs while nothing changes. */
export interface SteadyFigures {
  seconds: number;
  /** By pod and role: `us-east-a, agent`. */
  processes: { name: string; cpuPercent: number; memoryMb: number }[];
  /** Of etcd, Temporal and RabbitMQ themselves. */
  servers: { name: string; cpuPercent: number; memoryMb: number }[];
  etcdPerSecond: number;
  etcdByMethod: Record<string, number>;
  /** Billable actions that Temporal's server counted; `null` where it cannot be asked. */
  actionsPerHour: number | null;
  /** Of active regions, per lock, over whole beats. */
  eventsPerHourPerLock: number;
  /** The longest that a lease was seen to go without an extension, in s; etcd tells whole seconds, rounded up. */
  longestWithoutExtensionS: number;
  leasesSeen: number;
}

const sampleMs = 1_000;
/** Leases asked for in each sample: asking for all would be a load of its own. */
const leasesPerSample = 20;
const historiesRead = 5;
const answerLimitMs = 20_000;

/** Measures for `seconds`. `workflows`: of regions that are active. */
export async function measureSteady(
  fleet: PodFleet,
  stack: DevStack,
  workflows: string[],
  seconds: number,
  signal: AbortSignal,
): Promise<SteadyFigures> {
  const began = Date.now();
  const before = await readAll(fleet, stack);
  const leases = await watchLeases(stack, before.atMs + seconds * 1_000, signal);
  const after = await readAll(fleet, stack);
  const elapsed = (after.atMs - before.atMs) / 1_000;
  const etcd = increase(before.etcd, after.etcd);
  const beats = await beatsOf(stack.temporalAddress, workflows.slice(0, historiesRead), began);
  const actions = before.actions && after.actions ? sumOf(increase(before.actions, after.actions)) : null;
  return {
    seconds: elapsed,
    processes: differences(before.processes, after.processes, elapsed),
    servers: differences(before.servers, after.servers, elapsed),
    // What this process asked for is not Baton's.
    etcdPerSecond: (sumOf(etcd) - leases.asked) / elapsed,
    etcdByMethod: Object.fromEntries(
      [...etcd]
        .filter(([method]) => method !== 'LeaseTimeToLive' && method !== 'LeaseLeases')
        .map(([method, count]) => [method, count / elapsed]),
    ),
    actionsPerHour: actions === null ? null : (actions * 3_600) / elapsed,
    eventsPerHourPerLock:
      beats.reduce((sum, { eventsPerHour }) => sum + eventsPerHour, 0) / Math.max(1, beats.length),
    longestWithoutExtensionS: leases.longestS,
    leasesSeen: leases.seen,
  };
}

interface Look {
  atMs: number;
  processes: Map<string, { cpuSeconds: number; memoryMb: number }>;
  servers: Map<string, { cpuSeconds: number; memoryMb: number }>;
  etcd: Map<string, number>;
  actions: Map<string, number> | null;
}

async function readAll(fleet: PodFleet, stack: DevStack): Promise<Look> {
  const processes: Look['processes'] = new Map();
  for (const pod of fleet.pods.filter(({ pid }) => pid !== undefined))
    for (const { role, pid } of fleet.processesOf(pod)) {
      const reading = readProcess(pid);
      if (reading) processes.set(`${pod.name}, ${role.replace('baton ', '')}`, reading);
    }
  const servers: Look['servers'] = new Map();
  const pids: [string, number][] = [
    ...stack.etcd.members.map(({ pid }): [string, number] => ['etcd', pid]),
    ['Temporal', stack.temporal.pid],
    ['RabbitMQ', stack.rabbitmq.pid],
  ];
  for (const [name, pid] of pids) {
    const reading = readProcess(pid);
    if (reading) servers.set(name, reading);
  }
  const [etcd, actions] = await Promise.all([etcdRequests(stack.etcdAddresses), temporalActions(stack)]);
  return { atMs: performance.now(), processes, servers, etcd, actions };
}

/** A process that ended or began within the window is left out. */
function differences(
  before: Look['processes'],
  after: Look['processes'],
  seconds: number,
): SteadyFigures['processes'] {
  return [...after].flatMap(([name, now]) => {
    const then = before.get(name);
    if (!then || now.cpuSeconds < then.cpuSeconds) return [];
    const cpuPercent = (100 * (now.cpuSeconds - then.cpuSeconds)) / seconds;
    return [{ name, cpuPercent, memoryMb: now.memoryMb }];
  });
}

/** Looks at some leases each second, in turn: how much of their time has run out since the last extension. */
async function watchLeases(
  stack: DevStack,
  untilMs: number,
  signal: AbortSignal,
): Promise<{ longestS: number; seen: number; asked: number }> {
  const ask = async <T>(method: string, body: object): Promise<T> => {
    const limit = AbortSignal.any([signal, AbortSignal.timeout(answerLimitMs)]);
    const address = `http://${stack.etcdAddresses[0]}/v3/lease/${method}`;
    return (await (
      await fetch(address, { method: 'POST', body: JSON.stringify(body), signal: limit })
    ).json()) as T;
  };
  const { leases = [] } = await ask<{ leases?: { ID: string }[] }>('leases', {});
  let [longestS, seen, asked, next] = [0, 0, 1, 0];
  while (performance.now() < untilMs) {
    const nextAtMs = performance.now() + sampleMs;
    const some = Array.from({ length: leasesPerSample }, () => leases[next++ % leases.length]);
    const answers = await Promise.all(
      some.map((lease) => ask<{ TTL?: string; grantedTTL?: string }>('timetolive', { ID: lease?.ID })),
    );
    asked += some.length;
    for (const { TTL, grantedTTL } of answers) {
      const granted = Number(grantedTTL ?? 0);
      // Those of redelivered messages last a day and are not extended.
      if (granted === 0 || granted > 3_600) continue;
      seen += 1;
      longestS = Math.max(longestS, granted - Number(TTL ?? 0));
    }
    await new Promise((done) => setTimeout(done, Math.max(0, nextAtMs - performance.now())));
    signal.throwIfAborted();
  }
  return { longestS, seen, asked };
}
