import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { groupMembers, isStopped } from './process-state';
import type { Reaper } from './reaper';

/** What to execute. `program` must become the server itself: its pid is the one that is paused and killed. */
export interface Command {
  program: string;
  args: string[];
  /** The whole environment of the process. Default: this process's. */
  environment?: NodeJS.ProcessEnv;
  /** Whom it runs as. Default: as this process. */
  account?: { uid: number; gid: number };
}

export interface ServerOptions {
  reaper: Pick<Reaper, 'environment' | 'watch'>;
  /** Where the server's output goes, appended. */
  logFile: string;
  /** How long a start may take until the server answers. Default: 60 s. */
  readyLimitMs?: number;
}

/** How long a server may take to end by itself before it is killed. */
const STOP_LIMIT_MS = 10_000;
const POLL_MS = 25;
const LOG_LINES_SHOWN = 15;

/** A server did not start. The message has its command and the end of its log. */
export class ServerStartError extends Error {
  constructor(
    message: string,
    /** Whether somebody else was on one of its ports, so that others are worth a try. */
    readonly portTaken: boolean,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

/**
 * One server on this machine, for tests and the demo: on its own ports and folder, leading its own process group,
 * stopped by pid, and cleaned up by the reaper when this process dies.
 */
export abstract class Server {
  private child: ChildProcess | undefined;
  private exit: Promise<void> = Promise.resolve();

  /** Asks it to end, without waiting for its clients. */
  protected readonly stopSignal: NodeJS.Signals = 'SIGTERM';

  protected constructor(
    readonly serverName: string,
    protected readonly options: ServerOptions,
  ) {}

  protected abstract command(): Command;

  /** One attempt to talk to the server; throws while it is not ready. */
  protected abstract probe(): Promise<void>;

  /** The server's process. Throws while there is none. */
  get pid(): number {
    if (this.child?.pid === undefined) throw new Error(`${this.serverName} does not run`);
    return this.child.pid;
  }

  get isRunning(): boolean {
    return this.child !== undefined;
  }

  /**
   * Starts the server and waits until it answers.
   * @throws ServerStartError when it exits, or does not answer in time; it is stopped then.
   */
  async start(): Promise<void> {
    if (this.child !== undefined) throw new Error(`${this.serverName} runs already (pid ${this.pid})`);
    const command = this.command();
    const logBegins = this.log().length;
    this.launch(command);
    const limitMs = this.options.readyLimitMs ?? 60_000;
    const giveUpAt = Date.now() + limitMs;
    let last: unknown;
    while (this.child !== undefined && Date.now() < giveUpAt) {
      try {
        await this.probe();
        // If ours has ended meanwhile, it was somebody else on its port who answered.
        if (this.isRunning) return;
      } catch (error) {
        last = error; // Not ready yet; the last answer is in the error below.
        await sleep(POLL_MS);
      }
    }
    const outcome =
      this.child === undefined ? 'exited before it was ready' : `was not ready after ${limitMs} ms`;
    await this.kill();
    const log = this.log().slice(logBegins);
    const shown = log.trimEnd().split('\n').slice(-LOG_LINES_SHOWN).join('\n');
    throw new ServerStartError(
      `${this.serverName} ${outcome}: ${[command.program, ...command.args].join(' ')}\n${shown}`,
      /address already in use|eaddrinuse|already a epmd running/i.test(log),
      { cause: last },
    );
  }

  /** Asks the server to end, kills it if it has not after 10 s, and waits until it is gone. Idempotent. */
  async stop(): Promise<void> {
    if (this.child === undefined) return;
    this.signal(this.stopSignal);
    this.signal('SIGCONT'); // Otherwise a paused server would not see it.
    await this.untilGone(STOP_LIMIT_MS);
    await this.kill();
  }

  /** Kills the server (SIGKILL) and waits until it is gone. Idempotent. */
  async kill(): Promise<void> {
    if (this.child === undefined) return;
    this.signal('SIGKILL');
    await this.untilGone(STOP_LIMIT_MS);
    if (this.child !== undefined) throw new Error(`${this.serverName} (pid ${this.pid}) survived SIGKILL`);
  }

  /**
   * Freezes the server (SIGSTOP): it keeps its connections and answers nothing. Resolves when its last thread has
   * stopped, which on a busy machine is some time after the signal; at the latest after ten seconds.
   */
  async pause(): Promise<void> {
    this.signal('SIGSTOP');
    const giveUpAt = Date.now() + STOP_LIMIT_MS;
    while (!isStopped(this.pid) && Date.now() < giveUpAt) await sleep(1);
  }

  /** Ends a {@link pause}. */
  resume(): void {
    this.signal('SIGCONT');
  }

  /** Stops the server if it runs and starts it again, with the same ports and data. */
  async restart(): Promise<void> {
    await this.stop();
    await this.start();
  }

  private launch({ program, args, environment, account }: Command): void {
    mkdirSync(dirname(this.options.logFile), { recursive: true });
    const log = openSync(this.options.logFile, 'a');
    const child = spawn(program, args, {
      stdio: ['ignore', log, log],
      // Leads its own group, so that all of it can be signalled, and Ctrl-C in a terminal does not reach it.
      detached: true,
      cwd: dirname(this.options.logFile),
      env: { ...(environment ?? process.env), ...this.options.reaper.environment },
      ...account,
    });
    closeSync(log);
    this.child = child;
    if (child.pid !== undefined) this.options.reaper.watch(child.pid, { group: true });
    this.exit = new Promise((resolve) => {
      const gone = () => {
        if (this.child === child) this.child = undefined;
        resolve();
      };
      child.once('exit', gone);
      child.once('error', gone); // It could not be executed at all.
    });
    // A program that ends without stopping its servers may end; the reaper does the rest.
    child.unref();
  }

  private signal(signal: NodeJS.Signals): void {
    process.kill(-this.pid, signal);
  }

  /** Until the process and those it started in its group are gone, or the time is up. */
  private async untilGone(limitMs: number): Promise<void> {
    const group = this.pid;
    const giveUpAt = Date.now() + limitMs;
    const limit = new AbortController();
    const late = sleep(limitMs, undefined, { signal: limit.signal }).catch(() => {}); // Aborted below.
    await Promise.race([this.exit, late]);
    limit.abort();
    while (this.child === undefined && groupMembers(group).length > 0 && Date.now() < giveUpAt)
      await sleep(POLL_MS);
  }

  private log(): string {
    try {
      return readFileSync(this.options.logFile, 'utf8');
    } catch {
      return ''; // Nothing written yet.
    }
  }
}

/**
 * Starts a server that `create` makes with free ports. When somebody else takes one of them in the meantime, the
 * next attempt gets others.
 */
export async function startOnFreePorts<T extends { start(): Promise<void> }>(
  create: () => Promise<T>,
): Promise<T> {
  const attempts = 4;
  for (let attempt = 1; ; attempt++) {
    const server = await create();
    try {
      await server.start();
      return server;
    } catch (error) {
      if (!(error instanceof ServerStartError && error.portTaken) || attempt === attempts) throw error;
    }
  }
}

/** Throws while nobody accepts connections at this port of 127.0.0.1. */
export function acceptsConnections(port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: '127.0.0.1', timeout: 1_000 });
    socket.once('connect', () => {
      socket.destroy();
      resolve();
    });
    socket.once('timeout', () => socket.destroy(new Error(`no answer from port ${port} within 1 s`)));
    socket.once('error', reject);
  });
}
