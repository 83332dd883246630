import { count, ms } from './check-tenures';
import { isFreeze, isRepeated, podOfLink, touchesBroker } from './faults';
import type { Execution, Finding, LockOfRun, RunEvidence, Switch } from './run-evidence';

/** An acknowledgement that has not reached the broker for so long was not merely on its way. */
const ackOnItsWayNs = 1e9;
/** By then a broker has noticed, by two missed heartbeats, that a connection is dead; or a client has reconnected. */
const heartbeatNs = 25e9;
/** How much later than its last sign of life a process may have died. */
const noticeNs = 500e6;
/** A fault that ends connections again and again does so no more often. */
const repetitionNs = 500e6;

interface Duplicate {
  first: Execution;
  again: Execution;
}

/** Something that can cost acknowledgements: of at most `concurrency` messages in each process. */
interface Excuse {
  /** Of the event in which this message's acknowledgement may have been lost. */
  key: (first: Execution) => string;
  beginNs: number;
  covers: (first: Execution) => boolean;
}

export interface DuplicateCheck {
  findings: Finding[];
  allowed: number;
  forbidden: number;
}

/** Messages of one lock that were finished more than once, and whether anything that happened explains it. */
export function checkDuplicates(evidence: RunEvidence, { lock, concurrency }: LockOfRun): DuplicateCheck {
  const excuses = excusesIn(evidence, lock);
  const clean = evidence.switches.filter(
    (each) =>
      each.lock === lock && each.outcome === 'done' && each.drainComplete === true && each.token !== null,
  );
  const spent = new Map<string, number>();
  const findings = new Map<string, { kind: Finding['kind']; why: string; duplicates: Duplicate[] }>();
  const forbid = (kind: Finding['kind'], key: string, why: string, duplicate: Duplicate): void => {
    const group = findings.get(`${kind} ${key}`);
    if (group) group.duplicates.push(duplicate);
    else findings.set(`${kind} ${key}`, { kind, why, duplicates: [duplicate] });
  };
  let allowed = 0;
  let forbidden = 0;
  // Those that ended last before an event are the likeliest to have been in flight.
  for (const duplicate of duplicatesIn(evidence, lock).toReversed()) {
    const { first, again } = duplicate;
    const drained = clean.find((each) => crosses(duplicate, each));
    const able = excuses.filter(
      (excuse) => excuse.covers(first) && !(drained && excuse.beginNs > (drained.answeredNs ?? 0)),
    );
    const perProcess = ({ key }: Excuse): string => `${key(first)} in process ${first.pid}`;
    const left = able.find((excuse) => (spent.get(perProcess(excuse)) ?? 0) < concurrency);
    if (left) {
      spent.set(perProcess(left), (spent.get(perProcess(left)) ?? 0) + 1);
      allowed++;
      continue;
    }
    forbidden++;
    const [over] = able;
    if (over)
      forbid(
        'too-many-duplicates',
        perProcess(over),
        `beyond the ${concurrency} that ${perProcess(over)} may cause`,
        duplicate,
      );
    else if (drained)
      forbid(
        'duplicate-after-clean-switch',
        drained.id,
        `around the switch ${drained.id}, whose drain was complete`,
        duplicate,
      );
    else forbid('duplicate', `${first.token} ${again.token}`, 'with nothing to explain it', duplicate);
  }
  return {
    allowed,
    forbidden,
    findings: [...findings.values()].map(({ kind, why, duplicates }) => {
      const { first, again } = duplicates.at(-1)!;
      return {
        kind,
        lock,
        ns: [first.endNs ?? first.startNs, again.startNs],
        text:
          `${count(duplicates.length, 'message')} of ${lock} finished again, ${why}: ${first.id} under token ${first.token} ` +
          `in ${first.pod} and ${ms(again.startNs - first.untilNs)} later under ${again.token} in ${again.pod}`,
      };
    }),
  };
}

/** In the order of the first end. */
function duplicatesIn({ executions }: RunEvidence, lock: string): Duplicate[] {
  const times = new Map<string, Execution[]>();
  for (const execution of executions) {
    if (execution.lock !== lock || !execution.ok) continue;
    const known = times.get(execution.id);
    if (known) known.push(execution);
    else times.set(execution.id, [execution]);
  }
  return [...times.values()]
    .flatMap((each) => each.slice(1).map((again, i) => ({ first: each[i]!, again })))
    .toSorted((a, b) => a.first.untilNs - b.first.untilNs);
}

/** Finished before the switch was answered, by an older tenure than the one that it began, and again by that or a later one. */
const crosses = ({ first, again }: Duplicate, { token, answeredNs }: Switch): boolean =>
  token !== null && first.token < token && again.token >= token && first.untilNs <= (answeredNs ?? 0);

/**
 * Since when nothing more was heard of a process whose latest message never ended: its handler may have kept the event loop
 * to itself, and then what had ended just before was never acknowledged, however long the process lived on.
 */
function standstillOf(executions: Execution[], pid: number): number {
  const own = executions.filter((each) => each.pid === pid);
  const latest = own.reduce((last, each) => (each.startNs > last.startNs ? each : last), own[0]!);
  if (!latest || latest.endNs !== null) return Infinity;
  return own.every(({ endNs }) => endNs === null || endNs <= latest.startNs) ? latest.startNs : Infinity;
}

function excusesIn(
  { executions, deaths, connectionEnds, faults, switches, etcd }: RunEvidence,
  lock: string,
): Excuse[] {
  const ended = ({ untilNs }: Execution, beginNs: number, endNs: number): boolean =>
    untilNs >= beginNs - ackOnItsWayNs && untilNs <= endNs;
  const fromDeaths = deaths.map(({ pid, pod, ns }): Excuse => {
    const sinceNs = Math.min(ns, standstillOf(executions, pid));
    return {
      key: () => `the death of process ${pid} of ${pod}`,
      beginNs: ns,
      covers: (first) => first.pid === pid && ended(first, sinceNs, ns + noticeNs),
    };
  });
  const fromConnections = connectionEnds
    .filter((each) => each.lock === lock)
    .map(({ pod, ns }): Excuse => ({
      key: () => `the end of ${pod}'s connection at ${(ns / 1e9).toFixed(3)} s`,
      beginNs: ns - noticeNs,
      covers: (first) => first.pod === pod && ended(first, ns, ns + noticeNs),
    }));
  const fromFaults = faults.flatMap((fault): Excuse[] => {
    const { key, target, pids, beginNs, endNs } = fault;
    const named = `${key} (${target})`;
    // A thawed one may find that the broker has given its connection up, and so may a process that was cut off.
    const inTime = (first: Execution): boolean => ended(first, beginNs, endNs + heartbeatNs);
    if (touchesBroker(fault)) {
      const pod = podOfLink(fault);
      return [
        {
          key: ({ untilNs }) =>
            isRepeated(fault) ? `${named} at ${Math.floor(untilNs / repetitionNs)}` : named,
          beginNs,
          covers: (first) => (pod === null || first.pod.startsWith(pod)) && inTime(first),
        },
      ];
    }
    if (isFreeze(fault) && pids.length > 0)
      return [{ key: () => named, beginNs, covers: (first) => pids.includes(first.pid) && inTime(first) }];
    return [];
  });
  const fromDrains = switches
    .filter((each) => each.lock === lock && each.drainComplete === false)
    .map(({ id, askedNs, answeredNs }): Excuse => ({
      key: () => `the drain limit of the switch ${id}`,
      beginNs: askedNs,
      covers: (first) => ended(first, askedNs, (answeredNs ?? askedNs + heartbeatNs) + ackOnItsWayNs),
    }));
  // A tenure that ends by no release: whoever works in it finds out, and can acknowledge nothing more.
  const own = etcd.filter((event) => event.lock === lock);
  const released = new Set(
    own.filter(({ key }) => key.startsWith('receipts/')).map(({ revision }) => revision),
  );
  const holder = own.filter(({ key }) => key === 'holder');
  const fromLosses = holder.flatMap(({ type, revision, ns }, i): Excuse[] => {
    const token = holder[i - 1]?.revision;
    if (type === 'put' || token === undefined || released.has(revision)) return [];
    const covers = (first: Execution): boolean => first.token === token && ended(first, ns, Infinity);
    return [{ key: () => `the loss of the tenure ${token}`, beginNs: ns, covers }];
  });
  // The most particular one first: a death says which process.
  return [...fromDeaths, ...fromConnections, ...fromLosses, ...fromDrains, ...fromFaults];
}
