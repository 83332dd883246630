import { isCancellation } from '@temporalio/workflow';
import type { Candidate, Check, PreflightReport, ProbeResult, RegionInput, Tenure } from './contract';
import { podQueue } from './names';
import { callPod, firstAnswer, noAnswer } from './pod-calls';
import {
  candidateChecks,
  failuresIn,
  gateCheck,
  lockChecks,
  podChecks,
  type PreflightRules,
} from './preflight';
import type { PodAddress } from './region-event';
import type { TraceContext } from './trace-context';

/** Candidates asked at once, and how many such rounds. */
const probesAtOnce = 3;
const probeRounds = 3;

interface Asked {
  to: string | null;
  tenure: Tenure | null;
  /** Pods through which etcd is read, best first. */
  via: PodAddress[];
}

/** Reads etcd through one of our own pods, then asks the candidates themselves. Touches nothing. */
export async function findTargets(
  { to, tenure, via }: Asked,
  { lock, settings }: RegionInput,
  trace?: TraceContext,
): Promise<{ failed: string[]; targets: PodAddress[] }> {
  const truth = await firstAnswer(via, (pod) =>
    callPod(pod, 'preflight: etcd', 0, trace).inspectLock({ lock }),
  );
  const rules = rulesOf({ to, tenure }, lock, settings.minSwitchIntervalMs, null);
  const failed = failuresIn(lockChecks(truth, rules));
  const { checks, able } = candidateChecks(truth, rules);
  if (able.length === 0) return { failed: [...failed, ...failuresIn(checks)], targets: [] };
  const probed = await probeUntilOneIsReady(lock, able, trace);
  const targets = probed.filter(({ answer }) => 'ready' in answer && answer.ready);
  if (targets.length === 0) {
    const refusals = probed.flatMap(({ candidate, answer }) =>
      failuresIn(podChecks(candidate, answer).slice(0, 1)),
    );
    failed.push(`no candidate can take over: ${refusals.join(', ')}`);
  }
  return { failed, targets: targets.map(({ candidate }) => addressOf(candidate)) };
}

/** The same as a report: every check with its verdict, and every region asked. */
export async function preflightReport(
  { to, tenure, via, underWay }: Asked & { underWay: string | null },
  { lock, settings }: RegionInput,
): Promise<PreflightReport> {
  const summary = 'what would a switch do? etcd';
  const truth = await firstAnswer(via, (pod) => callPod(pod, summary).inspectLock({ lock, gaps: true }));
  const rules = rulesOf({ to, tenure }, lock, settings.minSwitchIntervalMs, underWay);
  const ofLock = lockChecks(truth, rules);
  const { checks, able } = candidateChecks(truth, rules);
  const regions = [...new Set(able.map(({ region }) => region))];
  const probed = await Promise.all(
    regions.map((region) =>
      probeUntilOneIsReady(
        lock,
        able.filter((each) => each.region === region),
      ),
    ),
  );
  const ready = probed.flat().filter(({ answer }) => 'ready' in answer && answer.ready);
  const ofPods = probed.flat().flatMap(({ candidate, answer }): Check[] => podChecks(candidate, answer));
  return {
    lock,
    holder: truth.holder,
    checks: [...ofLock, gateCheck(settings), ...checks, ...ofPods],
    able: regions.filter((region) => ready.some(({ candidate }) => candidate.region === region)),
    recentGapsMs: truth.recentGapsMs ?? [],
  };
}

function rulesOf(
  { to, tenure }: Pick<Asked, 'to' | 'tenure'>,
  lock: string,
  minSwitchIntervalMs: number,
  underWay: string | null,
): PreflightRules {
  return { lock, tenure, to, minSwitchIntervalMs, underWay, now: Date.now() };
}

interface Probed {
  candidate: Candidate;
  answer: ProbeResult | { silent: string };
}

async function probeUntilOneIsReady(
  lock: string,
  candidates: Candidate[],
  trace?: TraceContext,
): Promise<Probed[]> {
  const probed: Probed[] = [];
  for (let round = 0; round < probeRounds; round++) {
    const asked = candidates.slice(round * probesAtOnce, (round + 1) * probesAtOnce);
    const answers = await Promise.all(asked.map((candidate) => probe(lock, candidate, trace)));
    probed.push(...answers);
    if (answers.length === 0 || answers.some(({ answer }) => 'ready' in answer && answer.ready)) break;
  }
  return probed;
}

async function probe(lock: string, candidate: Candidate, trace?: TraceContext): Promise<Probed> {
  const { pod } = candidate;
  try {
    const summary = `preflight: is ${pod} ready?`;
    const answer = await callPod(addressOf(candidate), summary, 0, trace).probe({ lock });
    return { candidate, answer };
  } catch (error) {
    if (isCancellation(error)) throw error;
    return { candidate, answer: { silent: noAnswer(error).why } };
  }
}

const addressOf = ({ region, pod }: Candidate): PodAddress => ({ region, pod, queue: podQueue(region, pod) });
