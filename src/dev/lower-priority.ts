import { writeFileSync } from 'node:fs';
import { setPriority } from 'node:os';

/** Niceness of what would run on another machine. */
export const elsewherePriority = 10;

/**
 * Runs the processes of a session behind everything else; `pid` leads it. Where Linux groups processes by session, their
 * nice values count only within it, and the session has one of its own: sched(7), autogroup.
 */
export function lowerPriority(pid: number): void {
  setPriority(pid, elsewherePriority);
  try {
    writeFileSync(`/proc/${pid}/autogroup`, String(elsewherePriority));
  } catch {
    // Not grouped here, and then the nice value is enough.
  }
}
