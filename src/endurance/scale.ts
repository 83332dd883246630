import { mkdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { builtFile, PodFleet, regions, type Survey } from '../bench/pod-fleet';
import { UnknownOutcomeError } from '../../activities/errors';
import { BatonClient } from '../client/baton-client';
import type { DemoPod } from '../demo/demo-pods';
import { regionWorkflowId } from '../../workflows/contract';
import type { EnduranceContext } from './command';
import { HolderWatch } from './holder-watch';
import { profileFolderVariable } from './profile-on-signal';
import { type MessageSums, QueuesLoad } from './queues-load';
import { measureSteady, type SteadyFigures } from './steady-meters';
import { judgeTakeovers, type Percentiles, percentilesOf, type Takeovers } from './takeover';

export interface ScalePlan {
  locks: number;
  ttlSeconds: number;
  /** How long to measure while nothing changes. */
  steadySeconds: number;
  /** Messages per second, of all locks together. */
  rate: number;
  /** Agents and listeners write CPU profiles of the quiet time here. */
  profile?: string;
  /** On top of a takeover's own bound, TTL + 1 s: what a slow machine is forgiven. */
  slackMs?: number;
}

export interface ScaleResult {
  plan: ScalePlan;
  /** Until both first pods held half of the locks each, and until all four pods were ready for every lock. */
  startSeconds: { held: number; ready: number };
  /** Locks held by the pod that is killed, before that. */
  heldByKilled: number;
  steady: SteadyFigures;
  /** Changes of holder while nothing was done. */
  steadyChanges: number;
  takeover: Takeovers;
  boundMs: number;
  messages: Omit<MessageSums, 'gapsMs'> & { gapMs: Percentiles };
  /** What the pods warned of, the most frequent first. */
  warnings: { text: string; count: number }[];
  /** One sentence per broken bound or guarantee; none: all is well. */
  problems: string[];
}

const concurrency = 8;
const startLimitMs = (locks: number): number => 180_000 + 2_000 * locks;
/** Spares that are forked, caches that fill. */
const settleMs = 10_000;
/** For locks that are taken over to show whether they stay where they are. */
const afterTakeoverMs = 10_000;
const takeoverLimitMs = 60_000;
/** From a pod's death: its lease runs out, etcd looks each half second, a standing pod takes over. */
const beyondTtlMs = 1_000;
/** All at once would be the burst that is measured. */
const marksAtOnce = 10;
const markAttempts = 10;
const who = { reason: 'scale: half of the locks for each region', by: 'scale' };

/** Many locks on two pods in each of two regions; the pod that holds half of them is killed. */
export async function runScale(plan: ScalePlan, context: EnduranceContext): Promise<ScaleResult> {
  const { stack, folder, say, signal } = context;
  stack.lowerTemporalPriority();
  const ledger = join(folder, 'ledger');
  mkdirSync(ledger, { recursive: true });
  const fleet = new PodFleet({
    ...{ id: 'scale', locks: plan.locks, stack, rabbitmqUrl: stack.rabbitmqUrl, folder, signal },
    handler: 'demo/handler',
    queueSettings: { concurrency, prefetch: concurrency },
    lockSettings: { leaseTtlMs: plan.ttlSeconds * 1_000 },
    environment: { BATON_DEMO_LEDGER: ledger, ...profileEnvironment(plan.profile) },
  });
  const client = BatonClient.open({ config: fleet.configFile, env: {}, onProblem: say });
  const holders = await HolderWatch.open(stack.etcdAddresses, 'scale-');
  let load: QueuesLoad | undefined;
  try {
    const began = Date.now();
    const startSeconds = await bringUp(fleet, client, plan, say);
    load = await QueuesLoad.connect(stack.rabbitmqUrl, fleet.locks);
    load.start(plan.rate);
    await sleep(settleMs, undefined, { signal });

    say(`measuring for ${plan.steadySeconds} s`);
    const steadyFrom = performance.now();
    const workflows = fleet.locks.map((lock, i) => regionWorkflowId(lock, regions[i % 2]!));
    if (plan.profile !== undefined) toggleProfiles(fleet);
    const steady = await measureSteady(fleet, stack, workflows, plan.steadySeconds, signal);
    if (plan.profile !== undefined) toggleProfiles(fleet);
    const steadyChanges = holders.since(steadyFrom).length;

    const [victim] = fleet.pods as [DemoPod];
    const lost = fleet.heldBy(await fleet.survey(), victim);
    say(`killing ${victim.name}, which holds ${lost.length} locks`);
    const killedAtMs = performance.now();
    const deaths = victim.kill();
    const survivors = fleet.pods.filter((pod) => pod !== victim);
    await fleet.until(
      killedAtMs + takeoverLimitMs,
      (survey) => sumOf(fleet, survey, survivors) >= plan.locks,
    );
    await sleep(afterTakeoverMs, undefined, { signal });
    const takeover = judgeTakeovers(lost, killedAtMs, holders.since(killedAtMs));

    await load.settle();
    const { gapsMs, ...sums } = await load.judge(ledger, { deaths, concurrency }, (i) =>
      client.history([fleet.locks[i]!]),
    );
    const warnings = fleet.warningsSince(began, survivors);
    const boundMs = plan.ttlSeconds * 1_000 + beyondTtlMs + (plan.slackMs ?? 0);
    const result = {
      ...{
        plan,
        startSeconds,
        heldByKilled: lost.length,
        steady,
        steadyChanges,
        takeover,
        boundMs,
        warnings,
      },
      messages: { ...sums, gapMs: percentilesOf(gapsMs) },
    };
    return { ...result, problems: problemsOf(result) };
  } finally {
    await load?.close();
    await client.close();
    await holders.close();
    fleet.stop();
  }
}

/** Two pods in each region; each region's first holds half of the locks, by cordons that are lifted afterwards. */
async function bringUp(
  fleet: PodFleet,
  client: BatonClient,
  plan: ScalePlan,
  say: (line: string) => void,
): Promise<ScaleResult['startSeconds']> {
  const began = performance.now();
  const giveUpAt = began + startLimitMs(plan.locks);
  const elapsed = (): number => (performance.now() - began) / 1_000;
  const elsewhere = (i: number): string => regions[(i + 1) % 2]!;
  const mark = async (kind: 'cordon' | 'uncordon'): Promise<void> => {
    const left = fleet.locks.map((lock, i) => ({ lock, region: elsewhere(i) }));
    while (left.length > 0) {
      const some = left.splice(0, marksAtOnce);
      await Promise.all(some.map(({ lock, region }) => markOnce(client, kind, lock, region)));
    }
  };
  await mark('cordon');
  await fleet.startRegions();
  say(`${plan.locks * 2} region workflows were started in ${elapsed().toFixed(1)} s`);
  const pods = regions.map((region) => fleet.addPod(region, `${region}-a`));
  for (const pod of pods) pod.start();
  const up = await fleet.until(giveUpAt, (survey) =>
    allRunning(fleet).every((pod, i) => fleet.heldBy(survey, pod).length === halfOf(plan.locks, i)),
  );
  const held = elapsed();
  await mark('uncordon');
  for (const region of regions) fleet.addPod(region, `${region}-b`).start();
  const ready = await fleet.until(giveUpAt, (survey) =>
    allRunning(fleet).every(
      (pod) => fleet.readyOf(survey, pod) + fleet.heldBy(survey, pod).length >= plan.locks,
    ),
  );
  if (!up || !ready) {
    const survey = await fleet.survey();
    const states = fleet.pods.map(
      (pod) =>
        `${pod.name} holds ${fleet.heldBy(survey, pod).length}, is ready for ${fleet.readyOf(survey, pod)}`,
    );
    throw new Error(`not up after ${Math.round(elapsed())} s: ${states.join('; ')}\n${pods[0]!.logTail()}`);
  }
  say(`held after ${held.toFixed(1)} s, all pods ready after ${elapsed().toFixed(1)} s`);
  return { held, ready: elapsed() };
}

function profileEnvironment(folder: string | undefined): Record<string, string> {
  if (folder === undefined) return {};
  mkdirSync(folder, { recursive: true });
  const preload = `--require ${builtFile('endurance/profile-on-signal.js')}`;
  return { [profileFolderVariable]: resolve(folder), NODE_OPTIONS: preload };
}

/** Again when a machine that is busy starting pods gave no answer in time: a mark that is there already stays. */
async function markOnce(
  client: BatonClient,
  kind: 'cordon' | 'uncordon',
  lock: string,
  region: string,
): Promise<void> {
  for (let attempt = 1; ; attempt++)
    try {
      await client[kind](lock, region, who);
      return;
    } catch (error) {
      if (!(error instanceof UnknownOutcomeError) || attempt === markAttempts) throw error;
    }
}

/** @throws Error with the end of its log when one has ended. */
function allRunning(fleet: PodFleet): readonly DemoPod[] {
  for (const pod of fleet.pods) if (pod.pid === undefined) fleet.processesOf(pod);
  return fleet.pods;
}

const halfOf = (locks: number, i: number): number => (i === 0 ? Math.ceil(locks / 2) : Math.floor(locks / 2));
const sumOf = (fleet: PodFleet, survey: Survey, pods: readonly DemoPod[]): number =>
  pods.reduce((sum, pod) => sum + fleet.heldBy(survey, pod).length, 0);

/** Begins the profiles of all agents and listeners, or ends them and writes them down. */
function toggleProfiles(fleet: PodFleet): void {
  for (const pod of fleet.pods)
    for (const { role, pid } of fleet.processesOf(pod))
      if (role !== 'baton spare') process.kill(pid, 'SIGUSR2');
}

function problemsOf(result: Omit<ScaleResult, 'problems'>): string[] {
  const { steady, steadyChanges, takeover, boundMs, messages, plan } = result;
  const taken = takeover.outageMs.n;
  const deadlineS = plan.ttlSeconds - Math.max(plan.ttlSeconds / 10, 0.5);
  const found: [boolean, string][] = [
    [steadyChanges > 0, `${steadyChanges} changes of holder while nothing was done`],
    [
      steady.longestWithoutExtensionS > deadlineS,
      `a lease went without an extension for ${steady.longestWithoutExtensionS} s, longer than to its deadline`,
    ],
    [
      taken < takeover.expected,
      `${takeover.expected - taken} of ${takeover.expected} locks were not taken over`,
    ],
    [
      takeover.outageMs.max > boundMs,
      `a takeover took ${Math.round(takeover.outageMs.max)} ms, more than ${boundMs} ms`,
    ],
    [takeover.others > 0, `${takeover.others} changes of locks that the dead pod did not hold`],
    [takeover.again > 0, `${takeover.again} changes of locks that had been taken over already`],
    [messages.lost > 0, `${messages.lost} messages were lost`],
    [
      messages.forbiddenDuplicates > 0,
      `${messages.forbiddenDuplicates} messages were worked on twice without cause`,
    ],
    [messages.overlaps > 0, `${messages.overlaps} pairs of messages of two tenures overlapped`],
  ];
  return found.flatMap(([broken, why]) => (broken ? [why] : []));
}
