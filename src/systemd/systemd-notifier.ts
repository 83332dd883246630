import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import type { HealthPort } from '../pod/health-server';
import { podStatus } from './pod-status';

/** How often the pod's state is compared with what systemd was told last. Costs no system call while it is the same. */
const lookIntervalMs = 1_000;
/** Of the watchdog's time; the pings may then be late by as much again, and once more. */
const pingsPerWatchdog = 3;
/** For one call of systemd-notify. It returns when systemd has read the message. */
const callLimitMs = 5_000;

const program = 'systemd-notify';

export interface NotifierOptions {
  socket: string;
  /** `null` without a watchdog. */
  watchdogMs: number | null;
  /** What a shutdown may take: systemd waits so long, even if the unit's TimeoutStopSec is shorter. */
  stopLimitMs: number;
  logger: NotifierLogger;
}

interface NotifierLogger {
  warn(fields: { socket: string; reason: string }, text: string): void;
  info(fields: { socket: string }, text: string): void;
}

/**
 * Takes systemd's variables out of the environment, so that no listener or handler speaks for the pod; `null` where
 * systemd did not ask to be told (no `Type=notify`). What is wrong in them costs the notification, never the pod.
 */
export function takeNotifyVariables(
  env: NodeJS.ProcessEnv,
  pid: number,
): Pick<NotifierOptions, 'socket' | 'watchdogMs'> | null {
  const { NOTIFY_SOCKET: socket, WATCHDOG_USEC: usec, WATCHDOG_PID: watched } = env;
  for (const name of ['NOTIFY_SOCKET', 'WATCHDOG_USEC', 'WATCHDOG_PID']) delete env[name];
  if (socket === undefined || socket === '') return null;
  // Meant for another process, whose environment was inherited.
  const own = watched === undefined || watched === String(pid);
  return { socket, watchdogMs: own && /^[1-9]\d{3,15}$/.test(usec ?? '') ? Number(usec) / 1_000 : null };
}

/**
 * Tells systemd of the pod: READY once every lock could be held, STATUS in a sentence whenever it changes, WATCHDOG
 * from this process's loop while the pod is healthy, STOPPING. Node has no datagram sockets of the file system, so
 * `systemd-notify` sends (see docs/deploy/systemd.md); a message that cannot be sent is a warning, sent again later.
 */
export class SystemdNotifier {
  private readonly timer: NodeJS.Timeout;
  private readonly lookMs: number;
  private told = { ready: false, stopping: false, status: '' };
  private stopping = false;
  private lastPingMs = -Infinity;
  private lastProblem = '';
  private call: Promise<void> | null = null;

  constructor(
    private readonly pod: Pick<HealthPort, 'locks' | 'health' | 'check'>,
    private readonly options: NotifierOptions,
  ) {
    const { watchdogMs } = options;
    this.lookMs = Math.min(lookIntervalMs, (watchdogMs ?? Infinity) / pingsPerWatchdog);
    this.timer = setInterval(() => this.look(), this.lookMs);
    this.look();
  }

  /** The pod drains. From here on systemd waits for `stopLimitMs`, counted from now. */
  stop(): void {
    this.stopping = true;
    this.look();
  }

  /** Idempotent. Waits for the message on its way, 5 s at most. */
  async close(): Promise<void> {
    clearInterval(this.timer);
    await this.call;
  }

  private look(): void {
    // The next look sees what has changed meanwhile.
    if (this.call) return;
    const { stopping } = this;
    const status = podStatus(this.pod);
    const ready = this.told.ready || this.isReady();
    const ping = this.pingIsDue();
    const words = [
      ...(ready && !this.told.ready ? ['READY=1'] : []),
      ...(stopping && !this.told.stopping
        ? ['STOPPING=1', `EXTEND_TIMEOUT_USEC=${this.options.stopLimitMs * 1_000}`]
        : []),
      ...(status !== this.told.status ? [`STATUS=${status}`] : []),
      ...(ping ? ['WATCHDOG=1'] : []),
    ];
    if (words.length === 0) return;
    const began = performance.now();
    this.call = this.send(words).then((sent) => {
      this.call = null;
      if (!sent) return;
      this.told = { ready, stopping, status };
      if (ping) this.lastPingMs = began;
      // Not only at the next look: the process may end before it.
      if (this.stopping && !stopping) this.look();
    });
  }

  private isReady(): boolean {
    return this.pod.locks.every((lock) => this.pod.check('readiness', lock).ok);
  }

  private pingIsDue(): boolean {
    const { watchdogMs } = this.options;
    if (watchdogMs === null || !this.pod.health().ok) return false;
    return performance.now() + this.lookMs / 2 >= this.lastPingMs + watchdogMs / pingsPerWatchdog;
  }

  private async send(words: string[]): Promise<boolean> {
    const { socket, logger } = this.options;
    try {
      await promisify(execFile)(program, words, {
        env: { ...process.env, NOTIFY_SOCKET: socket },
        timeout: callLimitMs,
        killSignal: 'SIGKILL',
      });
      if (this.lastProblem !== '') logger.info({ socket }, 'systemd is told again');
      this.lastProblem = '';
      return true;
    } catch (error) {
      const { code, killed, stderr } = error as { code?: unknown; killed?: boolean; stderr?: string };
      const problem = killed
        ? `${program} did not end within ${callLimitMs} ms`
        : code === 'ENOENT'
          ? `there is no ${program} on PATH`
          : stderr?.trim().split('\n').at(-1) || (error as Error).message;
      // Once, and not every second.
      if (problem !== this.lastProblem) logger.warn({ socket, reason: problem }, 'systemd is not told');
      this.lastProblem = problem;
      return false;
    }
  }
}
