import { isFreeze } from './faults';
import type { Execution, Fault, Finding, RunEvidence } from './run-evidence';

/** A process is frozen this long after the fault's time at the latest, also on a busy machine. */
const strikeNs = 1e9;
/** A takeover that came so soon after the thaw was made while the process stood still. */
const justThawedNs = 1e9;
/** By then a thawed process must have found out that its deadline has passed, and be dead. */
const outliveLimitNs = 2e9;
/** Between etcd's commit and the observer's stamp, and between a guard's check and the handler's first line. */
const startToleranceNs = 250e6;

export interface TenureCheck {
  findings: Finding[];
  overlaps: number;
  staleEffects: number;
  staleStarts: number;
}

/** When each token's first message started. */
function firstStarts(executions: Execution[]): Map<number, number> {
  const first = new Map<number, number>();
  for (const { token, startNs } of executions) if (!first.has(token)) first.set(token, startNs);
  return first;
}

/** The rules of order for one lock: nothing of two tokens at once, and no old token after a new one. */
export function checkTenures(evidence: RunEvidence, lock: string): TenureCheck {
  const executions = evidence.executions.filter((each) => each.lock === lock);
  const freezes = evidence.faults.filter(isFreeze);
  const first = firstStarts(executions);
  const stale = findStaleStarts(lock, executions, first);
  const overlap = findOverlaps(lock, executions, first, freezes, stale.executions);
  const without = findStartsWithoutLock(evidence, lock, executions, stale.executions);
  return {
    findings: [...stale.findings, ...overlap.findings, ...without],
    overlaps: overlap.overlaps,
    staleEffects: overlap.staleEffects,
    staleStarts: stale.executions.size,
  };
}

/** One finding for each token that goes on, or begins, after a higher one. */
function findStaleStarts(lock: string, executions: Execution[], first: Map<number, number>) {
  const stale = new Map<number, Execution[]>();
  let highest = Number.NEGATIVE_INFINITY;
  const newerThan = new Map<number, number>();
  for (const execution of executions) {
    const { token } = execution;
    if (token >= highest) {
      highest = token;
      continue;
    }
    const group = stale.get(token);
    if (group) group.push(execution);
    else {
      stale.set(token, [execution]);
      newerThan.set(token, highest);
    }
  }
  const findings = [...stale].map(([token, group]): Finding => {
    const newer = newerThan.get(token) ?? 0;
    const [one] = group as [Execution];
    const back = first.get(token) === one.startNs;
    return {
      kind: back ? 'token-back' : 'stale-start',
      lock,
      token,
      ns: [one.startNs],
      text:
        `${count(group.length, 'message')} of ${lock} started under token ${token}, in ${one.pod} (process ${one.pid}), ` +
        `after token ${newer} had begun; the first was ${one.id}, ${ms(one.startNs - (first.get(newer) ?? 0))} after` +
        (back ? '; nothing had started under this token before' : ''),
    };
  });
  return { findings, executions: new Set([...stale.values()].flat()) };
}

interface Pair {
  older: Execution;
  newer: Execution;
}

/**
 * Sweeps over all starts and ends in the order of time and looks, at each start, at the executions of other tokens
 * that run. Intervals are closed: one that starts in the instant in which another ends overlaps it.
 */
function findOverlaps(
  lock: string,
  executions: Execution[],
  first: Map<number, number>,
  freezes: Fault[],
  stale: Set<Execution>,
) {
  const groups = new Map<string, Pair[]>();
  const outlived = new Map<Execution, Fault>();
  const staleEffects = new Set<Execution>();
  let overlaps = 0;
  let running: Execution[] = [];
  for (const execution of executions) {
    running = running.filter(({ untilNs }) => untilNs >= execution.startNs);
    for (const other of running) {
      if (other.token === execution.token) continue;
      const pair =
        other.token < execution.token
          ? { older: other, newer: execution }
          : { older: execution, newer: other };
      const freeze = frozenAcross(pair, first, freezes);
      if (freeze && !stale.has(pair.older)) {
        staleEffects.add(pair.older);
        if (pair.older.untilNs > freeze.endNs + outliveLimitNs) outlived.set(pair.older, freeze);
        continue;
      }
      overlaps++;
      // Told as a stale start already.
      if (stale.has(pair.older)) continue;
      const key = `${pair.older.token} ${pair.newer.token}`;
      const group = groups.get(key);
      if (group) group.push(pair);
      else groups.set(key, [pair]);
    }
    running.push(execution);
  }
  const findings: Finding[] = [...groups.values()].map((pairs) => {
    const [{ older, newer }] = pairs as [Pair];
    const both = Math.min(older.untilNs, newer.untilNs) - Math.max(older.startNs, newer.startNs);
    return {
      kind: 'overlap',
      lock,
      ns: [Math.max(older.startNs, newer.startNs)],
      text:
        `${count(pairs.length, 'pair')} of messages of ${lock} ran at the same time under the tokens ${older.token} ` +
        `(${older.pod}) and ${newer.token} (${newer.pod}); the first were ${older.id} and ${newer.id}, for ${ms(both)}`,
    };
  });
  for (const [{ id, token, pod, untilNs }, { endNs, key }] of outlived)
    findings.push({
      kind: 'outlived-freeze',
      lock,
      ns: [endNs, untilNs],
      text: `message ${id} of ${lock} under token ${token} went on in ${pod} for ${ms(untilNs - endNs)} after its thaw (${key}), beside a newer tenure`,
    });
  return { findings, overlaps, staleEffects: staleEffects.size };
}

/** The freeze in which the older one stood still, in the middle of its handler, while the newer tenure began. */
function frozenAcross(
  { older, newer }: Pair,
  first: Map<number, number>,
  freezes: Fault[],
): Fault | undefined {
  const began = first.get(newer.token) ?? newer.startNs;
  return freezes.find(
    ({ pids, beginNs, endNs }) =>
      pids.includes(older.pid) &&
      older.startNs <= beginNs + strikeNs &&
      older.untilNs >= beginNs &&
      beginNs <= began &&
      began <= endNs + justThawedNs,
  );
}

/** Also where nobody else has begun yet: the guard's read must be younger than the end of the tenure. */
function findStartsWithoutLock(
  { etcd, locks }: RunEvidence,
  lock: string,
  executions: Execution[],
  stale: Set<Execution>,
): Finding[] {
  const maxAgeNs = (locks.find((each) => each.lock === lock)?.verificationMaxAgeMs ?? 0) * 1e6;
  const holder = etcd.filter((event) => event.lock === lock && event.key === 'holder');
  const endOf = new Map<number, number>();
  holder.forEach((event, i) => {
    const next = holder[i + 1];
    if (event.type === 'put' && next) endOf.set(event.revision, next.ns);
  });
  const late = new Map<number, Execution[]>();
  for (const execution of executions) {
    const end = endOf.get(execution.token);
    if (end === undefined || stale.has(execution)) continue;
    if (execution.startNs <= end + maxAgeNs + startToleranceNs) continue;
    const group = late.get(execution.token);
    if (group) group.push(execution);
    else late.set(execution.token, [execution]);
  }
  return [...late].map(([token, group]) => {
    const [one] = group as [Execution];
    return {
      kind: 'start-without-lock',
      lock,
      ns: [one.startNs],
      text:
        `${count(group.length, 'message')} of ${lock} started under token ${token} in ${one.pod} when etcd had shown its end; ` +
        `the first was ${one.id}, ${ms(one.startNs - (endOf.get(token) ?? 0))} after`,
    };
  });
}

export const count = (n: number, what: string): string => `${n} ${what}${n === 1 ? '' : 's'}`;
export const ms = (ns: number): string => `${(ns / 1e6).toFixed(1)} ms`;
