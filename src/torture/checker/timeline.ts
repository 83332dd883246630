import type { Finding, RunEvidence } from './run-evidence';

const eventsBefore = 18;
const eventsAfter = 14;
const momentsShown = 2;
/** Log lines of other locks' pods are left out by nobody, so a line is kept short. */
const maxLine = 200;

interface TimelineEvent {
  ns: number;
  /** `null`: concerns all locks. */
  lock: string | null;
  text: string;
}

/** Everything that any log says, on one axis of time. Made once, when something has been found. */
export class Timeline {
  private readonly events: TimelineEvent[];

  constructor(evidence: RunEvidence) {
    this.events = collect(evidence).toSorted((a, b) => a.ns - b.ns);
  }

  /** The events around the finding's moments, one a line; `>>` marks the moment. */
  around({ ns, lock }: Finding): string {
    const own = this.events.filter((event) => event.lock === null || lock === null || event.lock === lock);
    return ns
      .slice(0, momentsShown)
      .filter((moment) => Number.isFinite(moment))
      .map((moment) => excerpt(own, moment))
      .join('\n      …\n');
  }
}

function excerpt(events: TimelineEvent[], moment: number): string {
  const found = events.findIndex((event) => event.ns >= moment);
  const middle = found === -1 ? events.length : found;
  const from = Math.max(0, middle - eventsBefore);
  return events
    .slice(from, middle + eventsAfter)
    .map(({ ns, text }) => {
      const line = `${ns === moment ? '>>' : '  '} ${(ns / 1e9).toFixed(6).padStart(13)} s  ${text}`;
      return line.length > maxLine ? `${line.slice(0, maxLine)}…` : line;
    })
    .join('\n');
}

function collect(evidence: RunEvidence): TimelineEvent[] {
  const events: TimelineEvent[] = [];
  const add = (ns: number | null, lock: string | null, text: string): void => {
    if (ns !== null && Number.isFinite(ns)) events.push({ ns, lock, text });
  };
  for (const { lock, id, token, pod, pid, startNs, endNs, untilNs, ok } of evidence.executions) {
    const where = `${pod}/${pid}  token ${token}`;
    add(startNs, lock, `${where}  start ${id}`);
    if (endNs !== null) add(endNs, lock, `${where}  end   ${id}${ok ? '' : ' (not ok)'}`);
    else add(untilNs, lock, `${where}  last sign of life while at ${id}, which never ended`);
  }
  for (const { lock, key, type, revision, lease, value, ns } of evidence.etcd)
    add(
      ns,
      lock,
      `etcd  ${type} ${key} revision ${revision}${lease ? ` lease ${lease}` : ''} ${short(value)}`,
    );
  for (const { key, target, cause, pids, beginNs, endNs } of evidence.faults) {
    add(
      beginNs,
      null,
      `fault  ${key} begins: ${target} ${cause}${pids.length > 0 ? ` pids ${pids.join(' ')}` : ''}`,
    );
    add(endNs, null, `fault  ${key} ends: ${target}`);
  }
  for (const { pid, pod, role, ns } of evidence.deaths) add(ns, null, `death  ${role} ${pod}/${pid}`);
  for (const { lock, id, askedNs, answeredNs, outcome, token, drainComplete } of evidence.switches) {
    add(askedNs, lock, `switch  ${id} asked`);
    add(answeredNs, lock, `switch  ${id} ${outcome}, token ${token}, drain complete: ${drainComplete}`);
  }
  for (const { lock, id, token, accepted, reason, ns } of evidence.effects)
    add(ns, lock, `store  ${accepted ? 'took' : 'refused'} ${id} under token ${token} ${reason}`);
  for (const { lock, id, confirmedNs } of evidence.published)
    add(confirmedNs, lock, `broker  confirmed ${id}`);
  for (const { source, ns, text } of evidence.readLogs()) add(ns, null, `log  ${source}  ${text}`);
  return events;
}

const short = (value: unknown): string =>
  value === null || value === undefined ? '' : JSON.stringify(value).slice(0, 90);
