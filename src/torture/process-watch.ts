import { readdirSync, readFileSync } from 'node:fs';
import { startTimeOf } from '../dev/process-state';
import type { DemoPod } from '../demo/demo-pods';
import type { RunRecorder } from './run-recorder';

const lookMs = 20;
const discoverMs = 400;
const markName = 'BATON_DEMO_POD=';

interface Watched {
  pod: string;
  role: 'agent' | 'listener';
  startTime: string;
  /** Monotonic. */
  seenAliveAt: bigint;
}

/**
 * Knows every process of the pods, and writes down when each one ended: of a process that this program killed the
 * moment after the kill, of others the last moment seen alive, since seen dead, by a poll on a busy machine, can be
 * later than the next holder's first message.
 */
export class ProcessWatch {
  private readonly watched = new Map<number, Watched>();
  /** Killed, and perhaps still to be seen for a moment. */
  private readonly gone = new Set<string>();
  private readonly marks = new Map<string, DemoPod>();
  private timers: NodeJS.Timeout[] = [];

  constructor(private readonly recorder: RunRecorder) {}

  start(): void {
    this.timers = [setInterval(() => this.look(), lookMs), setInterval(() => this.discover(), discoverMs)];
  }

  /** After each start of the pod. */
  add(pod: DemoPod): void {
    this.marks.set(pod.environmentMark, pod);
    this.note(pod.agentPid, pod.name, 'agent');
  }

  /** The living processes of a pod's present boot. */
  processesOf(pod: DemoPod): { agent: number | undefined; listeners: number[] } {
    this.discover();
    const agent = pod.pid;
    const own = [...this.watched].filter(
      ([pid, { pod: name, role }]) =>
        name === pod.name && role === 'listener' && hasMark(pid, pod.environmentMark),
    );
    return { agent, listeners: own.map(([pid]) => pid) };
  }

  /** SIGKILL, and the time of it. `false`: it had ended by itself. */
  kill(pid: number): boolean {
    const known = this.watched.get(pid);
    if (known && startTimeOf(pid) !== known.startTime) return false;
    try {
      process.kill(pid, 'SIGKILL');
    } catch {
      return false; // It has ended since.
    }
    const at = process.hrtime.bigint();
    if (known) this.died(pid, known, at);
    return true;
  }

  /** SIGSTOP or SIGCONT; `false`: it had ended. */
  signal(pid: number, signal: 'SIGSTOP' | 'SIGCONT' | 'SIGTERM'): boolean {
    const known = this.watched.get(pid);
    if (!known || startTimeOf(pid) !== known.startTime) return false;
    try {
      process.kill(pid, signal);
      return true;
    } catch {
      return false; // It has ended since.
    }
  }

  /** Idempotent. */
  stop(): void {
    for (const timer of this.timers) clearInterval(timer);
    this.look();
  }

  private note(pid: number, pod: string, role: 'agent' | 'listener'): void {
    const startTime = startTimeOf(pid);
    if (startTime === undefined || this.watched.has(pid) || this.gone.has(`${pid} ${startTime}`)) return;
    this.watched.set(pid, { pod, role, startTime, seenAliveAt: process.hrtime.bigint() });
  }

  private look(): void {
    for (const [pid, known] of this.watched) {
      const at = process.hrtime.bigint();
      if (startTimeOf(pid) === known.startTime) known.seenAliveAt = at;
      else this.died(pid, known, known.seenAliveAt);
    }
  }

  private died(pid: number, { pod, role, startTime }: Watched, at: bigint): void {
    this.watched.delete(pid);
    this.gone.add(`${pid} ${startTime}`);
    this.recorder.death({ pid, pod, role, at: at.toString() });
  }

  /** Children inherit the mark of their pod's boot. */
  private discover(): void {
    for (const entry of readdirSync('/proc')) {
      const pid = Number(entry);
      if (!Number.isInteger(pid) || this.watched.has(pid)) continue;
      const mark = markOf(pid);
      const pod = mark === undefined ? undefined : this.marks.get(mark);
      if (pod) this.note(pid, pod.name, 'listener');
    }
  }
}

const hasMark = (pid: number, mark: string): boolean => markOf(pid) === mark;

function markOf(pid: number): string | undefined {
  try {
    const environment = readFileSync(`/proc/${pid}/environ`, 'latin1');
    const begin = environment.indexOf(markName);
    return begin < 0 ? undefined : environment.slice(begin).split('\0', 1)[0];
  } catch {
    return undefined; // It ended while we looked, or belongs to somebody else.
  }
}
