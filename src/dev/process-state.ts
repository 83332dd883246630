import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { processStat } from '../process-stat';

const hasProc = existsSync('/proc/self/stat');

interface Stat {
  state: string;
  group: number;
  startTime: string;
}

/**
 * When a process was started, in the kernel's own unit: together with the pid it names one process for ever,
 * while a pid alone is given to another one some time after its end.
 *
 * @returns undefined when there is no such process, or only its zombie is left.
 */
export function startTimeOf(pid: number): string | undefined {
  if (!hasProc) return startTimeFromPs(pid);
  const stat = readStat(`/proc/${pid}`);
  return stat === undefined || isDead(stat) ? undefined : stat.startTime;
}

/** Whether the process runs (or is stopped). A zombie does not: signal 0 still succeeds for it, so this reads its state. */
export function isRunning(pid: number): boolean {
  return startTimeOf(pid) !== undefined;
}

/** Whether no thread of it runs any more, after SIGSTOP. Without /proc that cannot be seen, and is taken for granted. */
export function isStopped(pid: number): boolean {
  if (!hasProc) return true;
  return readdirSync(`/proc/${pid}/task`).every((tid) => {
    const thread = readStat(`/proc/${pid}/task/${tid}`);
    return thread === undefined || thread.state === 'T' || isDead(thread);
  });
}

/** The processes of a process group that still run. Without /proc only its leader is looked at. */
export function groupMembers(group: number): number[] {
  if (!hasProc) return isRunning(group) ? [group] : [];
  return allPids().filter((pid) => {
    const stat = readStat(`/proc/${pid}`);
    return stat !== undefined && stat.group === group && !isDead(stat);
  });
}

/** The processes whose environment carries `NAME=value`, as inherited when they were started. None without /proc. */
export function pidsWithEnvironment(entry: string): number[] {
  return hasProc ? allPids().filter((pid) => hasEnvironment(pid, entry)) : [];
}

/** Whether a process carries it; see `pidsWithEnvironment`. */
export function hasEnvironment(pid: number, entry: string): boolean {
  try {
    return readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0').includes(entry);
  } catch {
    return false; // It ended while we looked, or belongs to somebody else.
  }
}

function allPids(): number[] {
  return readdirSync('/proc')
    .filter((entry) => /^\d+$/.test(entry))
    .map(Number);
}

function readStat(folder: string): Stat | undefined {
  try {
    const stat = processStat(folder);
    const [state = '', , group = ''] = stat;
    const startTime = stat[19] ?? '';
    return { state, group: Number(group), startTime };
  } catch {
    return undefined; // No such process or thread.
  }
}

function isDead({ state }: Stat): boolean {
  return state === 'Z' || state === 'X';
}

function startTimeFromPs(pid: number): string | undefined {
  try {
    const output = execFileSync('ps', ['-o', 'stat=,lstart=', '-p', String(pid)], {
      encoding: 'utf8',
    }).trim();
    return output === '' || output.startsWith('Z') ? undefined : output.replace(/^\S+\s+/, '');
  } catch {
    return undefined; // ps fails for a pid that does not exist.
  }
}
