import type { Death, Execution, LedgerLine } from './run-evidence';

/**
 * Joins each end with its start, in the order of starts. Within a process, the same message under the same token ends
 * in order. One that never ended counts as running until it was certainly still alive: the time of its process's
 * death, which is that of the kill or the last moment at which it was seen alive, or the process's own last line.
 */
export function joinExecutions(
  processes: LedgerLine[][],
  deaths: Death[],
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
        execution.untilNs = Math.max(lastNs, execution.startNs, lastAlive(execution, deaths));
    executions.push(...own);
  }
  return executions.toSorted((a, b) => a.startNs - b.startNs || a.token - b.token);
}

/** Of the first death of that number after it: another process may get it later. */
const lastAlive = ({ pid, startNs }: Execution, deaths: Death[]): number =>
  deaths.find((each) => each.pid === pid && each.ns >= startNs)?.ns ?? startNs;
