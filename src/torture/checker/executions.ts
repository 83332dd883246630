import { isKill } from './faults';
import type { Death, Execution, Fault, LedgerLine } from './run-evidence';

/** A death that was only noticed, by polling, may have happened this much earlier. */
export const noticeToleranceNs = 250e6;

/**
 * Joins each end with its start, in the order of starts. Within a process, the same message under the same token ends
 * in order. One that never ended counts as running until it was certainly still alive: the time of the kill, or the
 * last moment at which its process was seen, or the process's own last line.
 */
export function joinExecutions(
  processes: LedgerLine[][],
  deaths: Death[],
  faults: Fault[],
  complain: (problem: string) => void,
): Execution[] {
  const executions: Execution[] = [];
  for (const lines of processes) {
    const own: Execution[] = [];
    const open = new Map<string, Execution[]>();
    let lastNs = Number.NEGATIVE_INFINITY;
    for (const line of lines) {
      const { event, lock, id, token, region, pod, pid, ns, outcome } = line;
      lastNs = Math.max(lastNs, ns);
      const key = `${lock}\n${id}\n${token}`;
      if (event === 'start') {
        const place = { lock, id, token, region, pod, pid };
        const execution = { ...place, startNs: ns, endNs: null, untilNs: ns, ok: false };
        own.push(execution);
        const waiting = open.get(key);
        if (waiting) waiting.push(execution);
        else open.set(key, [execution]);
        continue;
      }
      const execution = open.get(key)?.shift();
      if (!execution) {
        complain(
          `message ${id} of ${lock} ended in process ${pid} under token ${token} without having started`,
        );
        continue;
      }
      execution.endNs = ns;
      execution.untilNs = ns;
      execution.ok = outcome === 'ok';
    }
    for (const execution of own)
      if (execution.endNs === null)
        execution.untilNs = Math.max(lastNs, execution.startNs, lastAlive(execution, deaths, faults));
    executions.push(...own);
  }
  return executions.toSorted((a, b) => a.startNs - b.startNs || a.token - b.token);
}

function lastAlive({ pid, startNs }: Execution, deaths: Death[], faults: Fault[]): number {
  const death = deaths.find((each) => each.pid === pid && each.ns >= startNs);
  if (!death) return startNs;
  if (death.aliveNs !== null) return death.aliveNs;
  const kill = faults.find(
    (fault) =>
      isKill(fault) && fault.pids.includes(pid) && fault.beginNs >= startNs && fault.beginNs <= death.ns,
  );
  return kill?.beginNs ?? death.ns - noticeToleranceNs;
}
