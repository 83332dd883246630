import { fork, type ChildProcess } from 'node:child_process';
import { EventEmitter } from 'node:events';
import { join } from 'node:path';
import type { Readable, Writable } from 'node:stream';
import type { LockSettings } from '../config/config';
import type { AgentMessage, DrainReport, ListenerMessage, ListenerStats } from '../listener/protocol';
import { deathNoticeArgument, deathNoticeFd, watchdogFd } from '../listener/protocol';
import type { TraceContext } from '../../workflows/trace-context';
import { encodeClear, encodeSet } from '../listener/watchdog-frames';
import { dyingProcess, howItEnded } from './dying-process';
import type { HolderChange } from './lock-store';

/** A process that has not answered once by then will not. */
const bootLimitMs = 30_000;
/** Between looks at a process whose threads have not all ended yet; doubled each time. */
const firstDyingLookMs = 1;
const maxDyingLookMs = 16;

export interface DrainOrder {
  lock: string;
  token: number;
  limitMs: number;
  /** Sent by the process itself when the drain is complete. */
  handOver?: HolderChange;
  /** For its answer, after the limit. */
  answerMs: number;
}

/** What the process is told after the fork. */
export type ListenerInit = Omit<Extract<AgentMessage, { kind: 'init' }>, 'kind'>;

export interface ListenerEvents {
  warm: [lock: string];
  cold: [lock: string, why: string];
  prepared: [lock: string];
  started: [lock: string, token: number];
  consuming: [lock: string, token: number];
  firstMessage: [lock: string, token: number, startedAt: number];
  halted: [lock: string, token: number, why: string];
  metrics: [snapshot: unknown];
  /** Once: no instruction of the process runs any more. The kernel may still be taking it apart. */
  exit: [why: string];
}

/**
 * The agent's handle on one listener process. The process leads its own group; `kill` takes the group, and
 * only `exited` says that it is gone.
 */
export class ListenerProcess extends EventEmitter<ListenerEvents> {
  readonly pid: number;
  /** Resolves with the reason once nothing of the process runs any more. */
  readonly exited: Promise<string>;
  private readonly child: ChildProcess;
  private readonly watchdog: Writable;
  private readonly warmLocks = new Set<string>();
  private readonly coldReasons = new Map<string, string>();
  private readonly drains = new Map<string, (report: DrainReport) => void>();
  private readonly latestDeadline = new Map<string, AgentMessage>();
  private readonly stats = new Map<string, ListenerStats>();
  private flushing = false;
  private killReason: string | null = null;
  private alive = true;
  private pingCount = 0;
  /** By lock: the number of the `unprepare` whose answer is awaited. */
  private readonly unprepares = new Map<string, number>();
  private unprepareCount = 0;
  private hasAnswered = false;
  /** Monotonic time of the oldest ping without an answer. */
  private unansweredSinceNs: bigint | null = null;

  constructor(init: ListenerInit) {
    super();
    this.child = fork(join(__dirname, '..', 'listener', 'main.js'), [deathNoticeArgument], {
      serialization: 'advanced',
      detached: true,
      stdio: ['ignore', 'inherit', 'inherit', 'ipc', 'pipe', 'pipe'],
    });
    this.pid = this.child.pid ?? -1;
    this.watchdog = this.child.stdio[watchdogFd] as Writable;
    // A dead process shows as EPIPE here; its `exit` is what we act on.
    this.watchdog.on('error', () => {});
    this.child.on('error', () => {});
    this.child.on('message', (message) => this.receive(message as ListenerMessage));
    this.exited = new Promise((resolve) => {
      const gone = (why: string): void => {
        if (!this.alive) return;
        this.alive = false;
        // What the handler has started must not outlive it.
        this.killGroup();
        this.warmLocks.clear();
        this.watchdog.destroy();
        resolve(why);
        this.emit('exit', why);
      };
      this.child.once('exit', (code, signal) => gone(this.killReason ?? howItEnded(code, signal)));
      this.onDeathNotice((why) => gone(this.killReason ?? why));
      if (this.child.pid === undefined) setImmediate(() => gone('could not be forked'));
    });
    this.send({ kind: 'init', ...init });
  }

  get isAlive(): boolean {
    return this.alive && this.killReason === null;
  }

  isWarm(lock: string): boolean {
    return this.isAlive && this.warmLocks.has(lock);
  }

  /** It has said why it cannot be started, and not taken that back. */
  isCold(lock: string): boolean {
    return this.coldReasons.has(lock);
  }

  whyCold(lock: string): string {
    return this.coldReasons.get(lock) ?? 'listener is starting';
  }

  statsOf(lock: string): ListenerStats | undefined {
    return this.stats.get(lock);
  }

  /** What of it can change while the process runs; the rest is left as it is. */
  configure(locks: LockSettings[], logLevel: string): void {
    this.send({ kind: 'configure', locks, logLevel });
  }

  /** Again after each extension: the process is then ended by its watchdog no earlier than at the later deadline. */
  prepare(input: {
    lock: string;
    offered: boolean;
    leaseId: string;
    afterToken: number;
    deadlineNs: bigint;
    marginMs: number;
    trace?: TraceContext;
  }): void {
    this.unprepares.delete(input.lock);
    this.watchdog.write(encodeSet({ ...input, token: input.afterToken }));
    this.send({ kind: 'prepare', ...input });
  }

  /** Its watchdog goes on until the process says that no tenure has begun in it meanwhile. */
  unprepare(lock: string): void {
    this.unprepares.set(lock, ++this.unprepareCount);
    this.send({ kind: 'unprepare', lock, n: this.unprepareCount });
  }

  start(input: {
    lock: string;
    token: number;
    leaseId: string;
    deadlineNs: bigint;
    marginMs: number;
    trace?: TraceContext;
  }): void {
    this.unprepares.delete(input.lock);
    // The watchdog first: from the first message on somebody must be able to end this.
    this.watchdog.write(encodeSet(input));
    this.send({ kind: 'start', ...input });
  }

  extend(input: { lock: string; token: number; deadlineNs: bigint; marginMs: number }): void {
    this.watchdog.write(encodeSet(input));
    const { lock, token, deadlineNs } = input;
    this.latestDeadline.set(lock, { kind: 'deadline', lock, token, deadlineNs });
    this.flushDeadlines();
  }

  /**
   * Resolves when the listener reports, or with an incomplete report when it does not in time: then nobody knows
   * whether it has sent `handOver`.
   */
  drain({ answerMs, ...order }: DrainOrder): Promise<DrainReport> {
    const { lock, limitMs, handOver } = order;
    const lastFinishedAt = this.stats.get(lock)?.lastFinishedAt ?? null;
    return new Promise((resolve) => {
      const done = (report: DrainReport): void => {
        clearTimeout(timer);
        this.drains.delete(lock);
        resolve(report);
      };
      const unanswered = (why: string): void =>
        done({
          ...{ drained: 0, requeued: 0, complete: false, lastFinishedAt, drainedAt: Date.now() },
          ...(handOver && { handedOver: { outcome: 'unknown', why } }),
        });
      const timer = setTimeout(() => unanswered('the listener has not answered'), limitMs + answerMs);
      this.drains.set(lock, done);
      void this.exited.then(() => unanswered('the listener has exited'));
      this.send({ kind: 'drain', ...order });
    });
  }

  /** A drain with such a `handOver` may follow: what it does at its end is done once before, to no effect. */
  rehearse(lock: string, handOver: HolderChange): void {
    this.send({ kind: 'rehearse', lock, handOver });
  }

  resume(lock: string, token: number): void {
    this.send({ kind: 'resume', lock, token });
  }

  /** The tenure is over and the process stays: its watchdog must not act on the old deadline. */
  end(lock: string, token: number): void {
    this.latestDeadline.delete(lock);
    this.watchdog.write(encodeClear(lock));
    this.send({ kind: 'end', lock, token });
  }

  /**
   * Sends a ping unless one is open. ms for which the process has not answered, 0 when it has. While it loads
   * its code it cannot answer: until its first answer it has a limit of its own.
   */
  ping(): number {
    if (this.unansweredSinceNs !== null) {
      const silentMs = Number(process.hrtime.bigint() - this.unansweredSinceNs) / 1e6;
      return this.hasAnswered || silentMs > bootLimitMs ? silentMs : 0;
    }
    this.unansweredSinceNs = process.hrtime.bigint();
    this.send({ kind: 'ping', n: ++this.pingCount });
    return 0;
  }

  /** SIGKILL to the whole group; idempotent. Await `exited` before anything that relies on it. */
  kill(why: string): Promise<string> {
    if (this.killReason === null && this.alive) {
      this.killReason = why;
      this.warmLocks.clear();
      // The group may not exist yet, in the first instant: then the child's own pid decides.
      if (!this.killGroup()) this.child.kill('SIGKILL');
    }
    return this.exited;
  }

  /** Ends an idle process; killed when it does not go by itself. */
  async quit(graceMs = 2_000): Promise<void> {
    this.send({ kind: 'exit' });
    const timer = setTimeout(() => void this.kill('did not quit'), graceMs);
    await this.exited;
    clearTimeout(timer);
  }

  /** Ten milliseconds and more before `exit`, where the process has been able to arrange for it. */
  private onDeathNotice(dead: (why: string) => void): void {
    const notice = (this.child.stdio as (Readable | undefined)[])[deathNoticeFd];
    notice?.on('error', () => {}).resume();
    notice?.once('close', () => this.lookForDeath(dead, firstDyingLookMs));
  }

  private lookForDeath(dead: (why: string) => void, againMs: number): void {
    const { exitCode, signalCode } = this.child;
    // Reaped: its pid may be another's by now.
    if (exitCode !== null || signalCode !== null) return;
    const dying = dyingProcess(this.pid);
    if (dying.state === 'dead') dead(dying.why);
    if (dying.state === 'dying')
      setTimeout(() => this.lookForDeath(dead, Math.min(2 * againMs, maxDyingLookMs)), againMs);
  }

  private killGroup(): boolean {
    if (this.pid <= 0) return false;
    try {
      return process.kill(-this.pid, 'SIGKILL');
    } catch {
      return false; // No such group: nothing is left of it.
    }
  }

  private receive(message: ListenerMessage): void {
    switch (message.kind) {
      case 'warm':
        this.warmLocks.add(message.lock);
        this.coldReasons.delete(message.lock);
        this.emit('warm', message.lock);
        return;
      case 'cold':
        this.warmLocks.delete(message.lock);
        this.coldReasons.set(message.lock, message.why);
        this.emit('cold', message.lock, message.why);
        return;
      case 'prepared':
        this.emit('prepared', message.lock);
        return;
      case 'unprepared':
        // Unless it was prepared or started again since.
        if (this.unprepares.get(message.lock) === message.n) this.watchdog.write(encodeClear(message.lock));
        return;
      case 'started':
        this.emit('started', message.lock, message.token);
        return;
      case 'consuming':
        this.emit('consuming', message.lock, message.token);
        return;
      case 'first-message':
        this.emit('firstMessage', message.lock, message.token, message.startedAt);
        return;
      case 'drained':
        this.drains.get(message.lock)?.(message);
        return;
      case 'halted':
        this.emit('halted', message.lock, message.token, message.why);
        return;
      case 'pong':
        this.unansweredSinceNs = null;
        this.hasAnswered = true;
        return;
      case 'stats':
        for (const stats of message.stats) this.stats.set(stats.lock, stats);
        this.emit('metrics', message.metrics);
        return;
    }
  }

  private send(message: AgentMessage): void {
    if (this.child.connected) this.child.send(message, () => {});
  }

  /** A frozen listener must not pile up deadlines: only the latest per lock waits for the pipe. */
  private flushDeadlines(): void {
    if (this.flushing || !this.child.connected || this.latestDeadline.size === 0) return;
    const [lock, message] = [...this.latestDeadline][0] as [string, AgentMessage];
    this.latestDeadline.delete(lock);
    this.flushing = true;
    this.child.send(message, () => {
      this.flushing = false;
      this.flushDeadlines();
    });
  }
}
