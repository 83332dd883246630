import { count } from './check-tenures';
import type { Execution, Finding, RunEvidence } from './run-evidence';

const shownIds = 10;

export interface MessageCheck {
  findings: Finding[];
  published: number;
  processed: number;
  lost: number;
}

/** Whether everything that the broker confirmed was finished, for one lock. */
export function checkMessages(evidence: RunEvidence, lock: string): MessageCheck {
  const attempts = new Map<string, Execution[]>();
  const finished = new Set<string>();
  for (const execution of evidence.executions) {
    if (execution.lock !== lock) continue;
    if (execution.ok) finished.add(execution.id);
    const known = attempts.get(execution.id);
    if (known) known.push(execution);
    else attempts.set(execution.id, [execution]);
  }
  const confirmed = evidence.published.filter((each) => each.lock === lock && each.confirmedNs !== null);
  const unfinished = confirmed.filter(({ id }) => !finished.has(id));
  const queue = evidence.queues.find((each) => each.lock === lock);
  const findings: Finding[] = [];

  const waiting = (queue?.ready ?? 0) + (queue?.unacked ?? 0);
  if (waiting > 0)
    findings.push({
      kind: 'left-behind',
      lock,
      ns: [],
      text: `the queue of ${lock} still has ${queue?.ready} messages ready and ${queue?.unacked} unacknowledged at the end`,
    });

  // Only what was tried, and never ended well, can have been dead-lettered.
  let excused = queue?.deadLettered ?? 0;
  const lost = unfinished.filter(({ id }) => !(attempts.has(id) && excused-- > 0)).slice(waiting);
  const [one] = lost;
  if (one) {
    const tries = attempts.get(one.id) ?? [];
    const ids = lost.slice(0, shownIds).map(({ id }) => id);
    findings.push({
      kind: 'lost',
      lock,
      ns: [...tries.map(({ startNs }) => startNs), one.confirmedNs ?? one.sentNs],
      text:
        `${count(lost.length, 'message')} of ${lock} confirmed by the broker and never finished: ` +
        `${ids.join(', ')}${lost.length > shownIds ? ' and others' : ''}; the first was started ${count(tries.length, 'time')}`,
    });
  }
  return {
    findings,
    published: confirmed.length,
    processed: confirmed.filter(({ id }) => finished.has(id)).length,
    lost: lost.length,
  };
}
