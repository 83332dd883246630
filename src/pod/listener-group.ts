import { EventEmitter } from 'node:events';
import type { Logger } from 'pino';
import type { LockSettings } from '../config/config';
import { ListenerProcess, type ListenerInit } from './listener-process';

const pingIntervalMs = 250;
const spareDelayMs = 250;
const spareLingerMs = 1_000;
const firstRestartDelayMs = 100;
const maxRestartDelayMs = 5_000;

export interface ListenerGroupEvents {
  /** The readiness of a lock in the current process changed. */
  readiness: [lock: string];
  /**
   * The current process is gone: nothing of it runs any more. The warm spare, if there was one, has taken its place.
   */
  exit: [process: ListenerProcess, why: string];
  firstMessage: [process: ListenerProcess, lock: string, token: number, startedAt: number];
  prepared: [process: ListenerProcess, lock: string];
  started: [process: ListenerProcess, lock: string, token: number];
  consuming: [process: ListenerProcess, lock: string, token: number];
  halted: [process: ListenerProcess, lock: string, token: number, why: string];
  metrics: [pid: number, snapshot: unknown];
  /** A process, current or spare, has ended: its counters stand still. */
  retired: [pid: number];
}

/**
 * The listener processes of the locks that share one: the current one, and while a tenure runs in it a warm
 * spare. A process that exits is replaced by the spare at once, else by a new one, with growing delays when
 * it keeps dying. A process that does not answer for the shortest stall limit of its locks is killed.
 */
export class ListenerGroup extends EventEmitter<ListenerGroupEvents> {
  private currentProcess: ListenerProcess | null = null;
  private spareProcess: ListenerProcess | null = null;
  private readonly activeLocks = new Set<string>();
  private restartDelayMs = firstRestartDelayMs;
  private restartTimer: NodeJS.Timeout | null = null;
  private spareTimer: NodeJS.Timeout | null = null;
  private readonly pinger: NodeJS.Timeout;
  private closed = false;

  constructor(
    private readonly init: ListenerInit,
    private readonly settings: LockSettings[],
    private readonly logger: Logger,
  ) {
    super();
    this.pinger = setInterval(() => this.watchStalls(), pingIntervalMs);
    this.currentProcess = this.fork();
  }

  get current(): ListenerProcess | null {
    return this.currentProcess;
  }

  private get stallLimitMs(): number {
    return Math.min(...this.settings.map((lock) => lock.stallLimitMs));
  }

  /** The settings have been changed in place: tells the processes that run; those forked later begin with them. */
  settingsChanged(logLevel: string): void {
    this.init.logLevel = logLevel;
    for (const process of [this.currentProcess, this.spareProcess])
      process?.configure(this.settings, logLevel);
  }

  isReady(lock: string): boolean {
    return this.currentProcess?.isWarm(lock) ?? false;
  }

  readiness(lock: string): 'ready' | 'warming' | 'unhealthy' {
    if (this.isReady(lock)) return 'ready';
    return this.currentProcess?.isCold(lock) ? 'unhealthy' : 'warming';
  }

  whyNotReady(lock: string): string {
    return this.currentProcess?.whyCold(lock) ?? 'listener process is being replaced';
  }

  /** A tenure of this lock runs in the current process: keep a spare. */
  hold(lock: string): void {
    this.activeLocks.add(lock);
    this.forkSpareLater();
  }

  /** The tenure is over. The spare goes when no tenure is left. */
  letGo(lock: string): void {
    this.activeLocks.delete(lock);
    // Not at once: the end of a process, too, takes the processor from the hand-over.
    setTimeout(() => this.dropSpare(), spareLingerMs).unref();
  }

  private dropSpare(): void {
    if (this.closed || this.activeLocks.size > 0 || this.spareProcess === null) return;
    const spare = this.spareProcess;
    this.spareProcess = null;
    void spare.quit();
  }

  /** SIGKILL to both, at once. */
  kill(why: string): void {
    for (const process of [this.currentProcess, this.spareProcess]) void process?.kill(why);
  }

  /** Kills what is left and waits for it. Idempotent. */
  async close(): Promise<void> {
    this.closed = true;
    clearInterval(this.pinger);
    if (this.restartTimer) clearTimeout(this.restartTimer);
    if (this.spareTimer) clearTimeout(this.spareTimer);
    const remaining = [this.currentProcess, this.spareProcess].filter((process) => process !== null);
    await Promise.all(remaining.map((process) => process.quit()));
  }

  private fork(): ListenerProcess {
    const process = new ListenerProcess(this.init);
    this.logger.info({ listenerPid: process.pid }, 'listener process forked');
    process.on('warm', (lock) => {
      this.restartDelayMs = firstRestartDelayMs;
      if (process === this.currentProcess) this.emit('readiness', lock);
    });
    process.on('cold', (lock, why) => {
      this.logger.warn({ lock, listenerPid: process.pid, reason: why }, 'listener is not ready');
      if (process === this.currentProcess) this.emit('readiness', lock);
    });
    process.on('prepared', (lock) => this.emit('prepared', process, lock));
    process.on('started', (lock, token) => this.emit('started', process, lock, token));
    process.on('consuming', (lock, token) => this.emit('consuming', process, lock, token));
    process.on('firstMessage', (lock, token, at) => this.emit('firstMessage', process, lock, token, at));
    process.on('halted', (lock, token, why) => this.emit('halted', process, lock, token, why));
    process.on('metrics', (snapshot) => this.emit('metrics', process.pid, snapshot));
    process.on('exit', (why) => this.replace(process, why));
    return process;
  }

  private replace(process: ListenerProcess, why: string): void {
    // After all that is in a hurry.
    setImmediate(() => this.emit('retired', process.pid));
    if (this.closed) return;
    if (process === this.spareProcess) {
      this.spareProcess = null;
      this.logger.warn({ listenerPid: process.pid, reason: why }, 'spare listener ended');
      this.restoreLater();
      return;
    }
    if (process !== this.currentProcess) return;
    this.currentProcess = this.spareProcess?.isAlive ? this.spareProcess : null;
    this.spareProcess = null;
    // The spare first: all else can wait.
    this.emit('exit', process, why);
    this.logger.warn(
      { listenerPid: process.pid, sparePid: this.currentProcess?.pid, reason: why },
      'listener process ended',
    );
    for (const lock of this.init.locks) this.emit('readiness', lock.settings.name);
    if (this.currentProcess === null) this.restoreLater();
    else this.forkSpareLater();
  }

  /** Not at once: a fork holds this process up for 10 ms, and then takes the processor from the first messages. */
  private forkSpareLater(): void {
    this.spareTimer ??= setTimeout(() => {
      this.spareTimer = null;
      this.ensureSpare();
    }, spareDelayMs);
  }

  private ensureSpare(): void {
    if (this.closed || this.activeLocks.size === 0 || this.spareProcess || !this.currentProcess) return;
    this.spareProcess = this.fork();
  }

  /** Forks what is missing, after a delay that grows while processes die before they were warm. */
  private restoreLater(): void {
    if (this.restartTimer) return;
    this.restartTimer = setTimeout(() => {
      this.restartTimer = null;
      if (this.closed) return;
      this.currentProcess ??= this.fork();
      this.ensureSpare();
    }, this.restartDelayMs);
    this.restartDelayMs = Math.min(this.restartDelayMs * 2, maxRestartDelayMs);
  }

  private watchStalls(): void {
    for (const process of [this.currentProcess, this.spareProcess]) {
      if (!process?.isAlive || process.ping() <= this.stallLimitMs) continue;
      // When it was this process that stood still, the answer is already in the pipe: read it first.
      setImmediate(() => {
        if (process.isAlive && process.ping() > this.stallLimitMs)
          void process.kill(`did not answer for ${this.stallLimitMs} ms`);
      });
    }
  }
}
