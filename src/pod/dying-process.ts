import { readdirSync } from 'node:fs';
import { constants } from 'node:os';
import { processStat } from '../process-stat';

/** In the ninth field of `/proc/<pid>/stat`: the thread never returns from the kernel (`PF_EXITING`, linux/sched.h). */
const exitingFlag = 0x4;
const flagsField = 6;
const exitCodeField = 49;

export type Dying =
  /** Or nothing can be said about it. */
  | { state: 'alive' }
  /** Its threads are on their way out of their own code, but not all of them are out. */
  | { state: 'dying' }
  /** No instruction of it runs any more. What is left is the kernel's: memory, sockets, the report to its parent. */
  | { state: 'dead'; why: string };

/**
 * How far a child that has not been reaped yet is on its way out. A main thread ends only with the whole process: from
 * then on no thread can be added, and each one that is listed can be waited for. See proc_pid_stat(5).
 */
export function dyingProcess(pid: number): Dying {
  try {
    const main = processStat(`/proc/${pid}`);
    if (!isExiting(main)) return { state: 'alive' };
    const threads = readdirSync(`/proc/${pid}/task`);
    if (!threads.every((tid) => hasEnded(`/proc/${pid}/task/${tid}`))) return { state: 'dying' };
    return { state: 'dead', why: whyOf(Number(main[exitCodeField])) };
  } catch {
    // Reaped, or no /proc: the exit will tell.
    return { state: 'alive' };
  }
}

function isExiting(stat: string[]): boolean {
  return (Number(stat[flagsField]) & exitingFlag) !== 0;
}

function hasEnded(folder: string): boolean {
  let stat: string[];
  try {
    stat = processStat(folder);
  } catch (error) {
    // ESRCH: it went between the opening and the reading.
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ESRCH') return true;
    throw error;
  }
  return isExiting(stat);
}

/** @param status as wait(2) returns it */
function whyOf(status: number): string {
  const signal = status & 0x7f;
  if (signal === 0) return howItEnded(status >> 8, null);
  const name = Object.entries(constants.signals).find(([, number]) => number === signal)?.[0];
  return howItEnded(null, name ?? `signal ${signal}`);
}

/** @param signal its name; null after an exit by itself */
export function howItEnded(code: number | null, signal: string | null): string {
  return signal ? `died of ${signal}` : `exited with code ${code}`;
}
