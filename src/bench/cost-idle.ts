import { setTimeout as sleep } from 'node:timers/promises';
import type { BenchContext } from './bench';
import type { Figures } from './cost-figures';
import type { CostFleet } from './cost-fleet';
import { beatsOf } from './cost-history';
import {
  etcdRequests,
  etcdWatchAnswers,
  increase,
  type ProcessReading,
  readProcess,
  sumOf,
  temporalActions,
} from './cost-meters';

/** Histories read per lock count: all beats are alike. */
const historiesRead = 5;
const secondsPerDay = 86_400;

interface Reading {
  atMs: number;
  /** `agent`, `listener` and `spare` of both pods, by role and place. */
  processes: Map<string, ProcessReading>;
  etcd: Map<string, number>;
  watchAnswers: number;
  actions: Map<string, number> | null;
}

/**
 * What the fleet costs while no message comes: all rates are differences over the window, nothing is asked of etcd
 * or Temporal meanwhile. Temporal's actions are those the server itself counted as billable: per lock and day
 * `86,400 s × (timers + activities + heartbeats that arrived + signals + search attribute upserts) / window / locks`.
 */
export async function measureIdle(
  fleet: CostFleet,
  windows: { count: number; ms: number },
  figures: Figures,
  { stack, signal }: BenchContext,
): Promise<void> {
  const variant = idleVariant(fleet.locks.length);
  const began = Date.now();
  let before = await readAll(fleet, stack);
  for (let i = 0; i < windows.count; i++) {
    await sleep(windows.ms, undefined, { signal });
    const after = await readAll(fleet, stack);
    addWindow(figures, variant, fleet.locks.length, before, after);
    before = after;
  }
  const sampled = fleet.locks.slice(0, historiesRead);
  const beats = await beatsOf(stack.temporalAddress, fleet.activeWorkflows(sampled), began);
  figures.add(
    `${variant}, active region, per lock`,
    'baton',
    'events/h',
    ...beats.map((beat) => beat.eventsPerHour),
  );
  figures.add(`${variant}, between two beats`, 'baton', 's', ...beats.map((beat) => beat.seconds));
  figures.add(`${variant}, one beat`, 'baton', 'events', ...beats.map((beat) => beat.events));
}

export const idleVariant = (locks: number): string => `${locks} ${locks === 1 ? 'lock' : 'locks'} idle`;

async function readAll(fleet: CostFleet, stack: BenchContext['stack']): Promise<Reading> {
  const processes = new Map<string, ProcessReading>();
  for (const [place, pod] of [
    ['active pod', fleet.active],
    ['standby pod', fleet.standby],
  ] as const)
    for (const { role, pid } of fleet.processesOf(pod)) {
      const reading = readProcess(pid);
      if (reading) processes.set(`${role}\n${place}`, reading);
    }
  const [etcd, watchAnswers, actions] = await Promise.all([
    etcdRequests(stack.etcdAddresses),
    etcdWatchAnswers(stack.etcdAddresses),
    temporalActions(stack),
  ]);
  return { atMs: performance.now(), processes, etcd, watchAnswers, actions };
}

function addWindow(figures: Figures, variant: string, locks: number, before: Reading, after: Reading): void {
  const seconds = (after.atMs - before.atMs) / 1000;
  const etcd = increase(before.etcd, after.etcd);
  figures.add(variant, 'baton', 'requests/s', sumOf(etcd) / seconds);
  figures.add(`${variant}, per lock`, 'baton', 'requests/s', sumOf(etcd) / seconds / locks);
  for (const method of ['Range', 'Txn', 'LeaseKeepAlive', 'Watch'])
    figures.add(`${variant}, etcd ${method}`, 'baton', 'requests/s', (etcd.get(method) ?? 0) / seconds);
  const answers = (after.watchAnswers - before.watchAnswers) / seconds;
  figures.add(`${variant}, answers on watches`, 'baton', 'messages/s', answers);
  if (before.actions && after.actions) {
    const perDay = secondsPerDay / seconds / locks;
    const actions = increase(before.actions, after.actions);
    const heartbeats = actions.get('grpc_RecordActivityTaskHeartbeat') ?? 0;
    figures.add(`${variant}, per lock`, 'baton', 'actions/day', sumOf(actions) * perDay);
    figures.add(`${variant}, heartbeats, per lock`, 'baton', 'actions/day', heartbeats * perDay);
    figures.add(
      `${variant}, without heartbeats, per lock`,
      'baton',
      'actions/day',
      (sumOf(actions) - heartbeats) * perDay,
    );
  }
  for (const [place, sum] of addProcesses(figures, variant, before, after, seconds)) {
    figures.add(`${variant}, ${place}`, 'baton', '% of a core', sum.cpu);
    figures.add(`${variant}, ${place}`, 'baton', 'MB', sum.memoryMb);
  }
}

/** @returns the sums, by pod. A process that ended or began within the window is left out. */
function addProcesses(
  figures: Figures,
  variant: string,
  before: Reading,
  after: Reading,
  seconds: number,
): Map<string, { cpu: number; memoryMb: number }> {
  const sums = new Map<string, { cpu: number; memoryMb: number }>();
  for (const [key, now] of after.processes) {
    const then = before.processes.get(key);
    if (!then || now.cpuSeconds < then.cpuSeconds) continue;
    const [role = '', place = ''] = key.split('\n');
    const cpu = (100 * (now.cpuSeconds - then.cpuSeconds)) / seconds;
    figures.add(`${variant}, ${place}`, role, '% of a core', cpu);
    figures.add(`${variant}, ${place}`, role, 'MB', now.memoryMb);
    const sum = sums.get(place) ?? { cpu: 0, memoryMb: 0 };
    sums.set(place, { cpu: sum.cpu + cpu, memoryMb: sum.memoryMb + now.memoryMb });
  }
  return sums;
}
