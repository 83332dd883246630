import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { builtFile, PodFleet, regions } from '../bench/pod-fleet';
import type { EnduranceContext } from './command';
import { countProcesses, dayLeases, LeakMeters, type Reading } from './leak-meters';
import { type MessageSums, QueuesLoad } from './queues-load';
import { judgeSoak, leakRules, leastReadings, type SoakRow } from './soak-verdict';

export interface SoakPlan {
  minutes: number;
  /** From one switch of all locks to the next. */
  switchSeconds: number;
  /** From one reading to the next, within the quiet part between two switches. */
  readingSeconds: number;
  locks: number;
  /** Messages per second, of all locks together. */
  rate: number;
  /** However slow the machine is, and whatever the minutes say. Default: one round of four readings. */
  least?: { rounds: number; readingsPerRound: number };
  /** How long the ended pods' traces may take to go. Default: 30. */
  goneSeconds?: number;
}

export interface SoakResult {
  plan: SoakPlan;
  readings: Reading[];
  rows: SoakRow[];
  /** What was still there after all pods had ended by SIGTERM; all must be 0. */
  left: Record<string, number>;
  messages: MessageSums;
  switches: { done: number; failed: string[] };
  /** Runs of region workflows that ended by continuing as new. */
  continued: number;
  /** One sentence per leak or broken guarantee; none: all is well. */
  problems: string[];
}

/** So low that a history that is never cut would be found within minutes. */
const historyLimit = 500;
const beatMs = 2_000;
const concurrency = 8;
const startLimitMs = 90_000;
const switchLimitMs = 60_000;
/** Quarters are those of the time after it: caches fill, code is compiled. */
const warmUpShare = 0.1;
const longestWarmUpMs = 120_000;
/** RabbitMQ's management page counts every five seconds. */
const brokerCountsMs = 6_000;
/** After a switch, for spares to be forked and old connections to be closed; then counts stand still. */
const settleMs = 2_000 + brokerCountsMs;
const minuteMs = 60_000;

/** Load on a few locks of two pods in two regions, all of them switched again and again; counts all along. */
export async function runSoak(plan: SoakPlan, context: EnduranceContext): Promise<SoakResult> {
  const { stack, folder, signal } = context;
  const ledger = join(folder, 'ledger');
  mkdirSync(ledger, { recursive: true });
  const fleet = new PodFleet({
    ...{ id: 'soak', locks: plan.locks, stack, rabbitmqUrl: stack.rabbitmqUrl, folder, signal },
    handler: 'demo/handler',
    queueSettings: { concurrency, prefetch: concurrency },
    lockSettings: { historyLimit, beatMs },
    environment: {
      BATON_DEMO_LEDGER: ledger,
      NODE_OPTIONS: `--require ${builtFile('endurance/collect-garbage.js')}`,
    },
  });
  const meters = await LeakMeters.connect(stack);
  let load: QueuesLoad | undefined;
  try {
    await startFleet(fleet);
    load = await QueuesLoad.connect(stack.rabbitmqUrl, fleet.locks);
    load.start(plan.rate);
    const soaked = await soak(plan, context, { fleet, meters });
    await load.settle();
    const messages = await load.judge(ledger, { deaths: [], concurrency }, (i) =>
      fleet.receipts(fleet.locks[i]!),
    );
    const continued = await meters.continuedRuns();
    await load.close();
    const left = await stopFleet(fleet, meters, plan.goneSeconds ?? 30);
    const { readings, switches } = soaked;
    const rows = judgeSoak(withoutWarmUp(readings, plan), leakRules({ locks: plan.locks, historyLimit }));
    const result = { plan, readings, rows, left, messages, switches, continued };
    return { ...result, problems: problemsOf(result) };
  } finally {
    await load?.close();
    fleet.stop();
    await meters.close();
  }
}

async function startFleet(fleet: PodFleet): Promise<void> {
  const giveUpAt = performance.now() + startLimitMs;
  await fleet.startRegions();
  for (const region of regions) fleet.addPod(region, `${region}-a`).start();
  const all = fleet.locks.length;
  const up = await fleet.until(giveUpAt, (survey) => {
    const [first, second] = fleet.pods;
    return fleet.readyOf(survey, first!) + fleet.readyOf(survey, second!) + sumOf(survey.held) >= 2 * all;
  });
  if (!up)
    throw new Error(`the pods were not ready after ${startLimitMs / 1000} s:\n${fleet.pods[0]?.logTail()}`);
}

interface Running {
  fleet: PodFleet;
  meters: LeakMeters;
}

/** One round after the other: all locks to the other region, a pause, readings. */
async function soak(
  plan: SoakPlan,
  { say, signal }: EnduranceContext,
  { fleet, meters }: Running,
): Promise<{ readings: Reading[]; switches: SoakResult['switches'] }> {
  const readings: Reading[] = [];
  const switches: SoakResult['switches'] = { done: 0, failed: [] };
  const began = performance.now();
  const endAt = began + plan.minutes * minuteMs;
  const least = plan.least ?? { rounds: 1, readingsPerRound: leastReadings };
  for (let round = 1; performance.now() < endAt || round <= least.rounds; round++) {
    const before = readings.length;
    const roundEndsAt = Math.min(endAt, began + round * plan.switchSeconds * 1_000);
    const to = regions[round % 2]!;
    await Promise.all(fleet.locks.map((lock) => switchLock(fleet, lock, to, switches)));
    const other = fleet.pods.find(({ place }) => place.region !== to)!;
    const settled = await fleet.until(
      performance.now() + switchLimitMs,
      (survey) =>
        fleet.readyOf(survey, other) === fleet.locks.length && survey.held.get(to) === fleet.locks.length,
    );
    if (!settled) switches.failed.push(`not every lock was held by ${to}, with the other region ready`);
    await sleep(settleMs, undefined, { signal });
    do {
      readings.push({ atMs: performance.now() - began, values: await meters.read(fleet) });
      await sleep(plan.readingSeconds * 1_000, undefined, { signal });
    } while (performance.now() < roundEndsAt || readings.length < before + least.readingsPerRound);
    const left = Math.max(0, Math.round((endAt - performance.now()) / 1_000));
    say(`round ${round}: ${to} is active, ${readings.length} readings, ${left} s left`);
  }
  return { readings, switches };
}

async function switchLock(
  fleet: PodFleet,
  lock: string,
  to: string,
  switches: SoakResult['switches'],
): Promise<void> {
  try {
    await fleet.baton('switch', '--to', to, '--lock', lock, '--reason', 'soak', '--by', 'soak');
    switches.done += 1;
  } catch (error) {
    switches.failed.push(`${lock} to ${to}: ${error instanceof Error ? error.message : String(error)}`);
  }
}

/** Ends the pods as a deployment would. @returns what is left of them on the servers and on this machine. */
async function stopFleet(
  fleet: PodFleet,
  meters: LeakMeters,
  limitSeconds: number,
): Promise<Record<string, number>> {
  for (const { pid } of fleet.pods) if (pid !== undefined) process.kill(pid, 'SIGTERM');
  const giveUpAt = performance.now() + limitSeconds * 1_000;
  let left: Record<string, number> = {};
  while (performance.now() < giveUpAt) {
    await sleep(brokerCountsMs / 2);
    // Queues, receipts and counts of attempts are meant to stay.
    const stay = new Set(['etcd keys without receipts', 'RabbitMQ queues', dayLeases]);
    const servers = Object.entries(await meters.readServers()).filter(([name]) => !stay.has(name));
    left = { ...Object.fromEntries(servers), processes: countProcesses(fleet) };
    if (Object.values(left).every((count) => count === 0)) break;
  }
  return left;
}

function withoutWarmUp(readings: Reading[], { minutes }: SoakPlan): Reading[] {
  const warmUpMs = Math.min(longestWarmUpMs, warmUpShare * minutes * minuteMs);
  return readings.filter(({ atMs }) => atMs >= warmUpMs);
}

function problemsOf({ rows, left, messages, switches }: Omit<SoakResult, 'problems'>): string[] {
  const leaks = rows
    .filter((row) => row.leaks)
    .map(({ name, first, last, max, limit }) =>
      limit !== null && max > limit
        ? `${name} was ${max}, above its limit of ${limit}`
        : `${name} grew from ${first} in the first quarter to ${last} in the last`,
    );
  const stayed = Object.entries(left)
    .filter(([, count]) => count !== 0)
    .map(([name, count]) => `${count} ${name} were left when all pods had ended`);
  const { lost, duplicates, forbiddenDuplicates, overlaps } = messages;
  const twice = duplicates + forbiddenDuplicates;
  const broken = [
    ...(lost > 0 ? [`${lost} messages were lost`] : []),
    ...(twice > 0 ? [`${twice} messages were worked on twice`] : []),
    ...(overlaps > 0 ? [`${overlaps} pairs of messages of two tenures overlapped`] : []),
  ];
  return [...leaks, ...stayed, ...broken, ...switches.failed.map((why) => `a switch failed: ${why}`)];
}

const sumOf = (counts: Map<string, number>): number =>
  [...counts.values()].reduce((sum, count) => sum + count, 0);
