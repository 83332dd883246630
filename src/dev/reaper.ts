import { spawn, type ChildProcess } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { resolve } from 'node:path';
import type { Writable } from 'node:stream';
import { compiledProgram } from '../compiled-program';
import { startTimeOf } from './process-state';

/** One line on the pipe to the reaper process. */
export type ReaperMessage =
  | { kind: 'watch'; pid: number; startTime: string; group: boolean }
  | { kind: 'forget'; pid: number }
  | { kind: 'folder'; path: string };

const MARK_NAME = 'BATON_DEV_STACK';
/** In the environment of a reaper that works within another one's reach: that one's mark. */
export const OUTER_MARK_NAME = 'BATON_DEV_OUTER_STACK';
/** Longer than the reaper process takes at most (see reaper-main.ts). */
const CLOSE_LIMIT_MS = 15_000;

/**
 * Ends processes and removes folders when this process is gone, for whatever reason, SIGKILL included. The work is
 * done by a small process of its own, in its own session, that holds a pipe from this one.
 */
export class Reaper {
  /**
   * Environment for the processes to be cleaned up: with it, the reaper also finds what *they* start, in whatever
   * process group (on Linux; elsewhere only what was registered is found).
   */
  readonly environment: Readonly<Record<string, string>>;

  private readonly child: ChildProcess;
  private readonly pipe: Writable;
  private readonly ended: Promise<void>;

  constructor() {
    const id = randomUUID();
    this.environment = { [MARK_NAME]: id };
    this.child = spawn(process.execPath, [compiledProgram('dev/reaper-main.js'), `${MARK_NAME}=${id}`], {
      stdio: ['pipe', 'ignore', 'ignore'],
      detached: true, // Its own session: a closing terminal does not reach it.
      cwd: '/',
      // Not the outer reaper's mark itself: it would end this one before its work is done. And no NODE_OPTIONS.
      env: { [OUTER_MARK_NAME]: process.env[MARK_NAME] },
    });
    this.pipe = this.child.stdin!;
    // Without a listener a reaper that was killed would take this process with it.
    this.pipe.on('error', () => {});
    this.child.on('error', () => {});
    this.ended = new Promise((done) => {
      this.child.on('exit', () => done());
      this.child.on('error', () => done());
    });
    this.child.unref();
    (this.pipe as Writable & { unref?: () => void }).unref?.();
  }

  get pid(): number | undefined {
    return this.child.pid;
  }

  /**
   * Ends the process (with `group`: its process group, which it must lead) when this one is gone.
   * Does nothing for a process that is gone already. The pid is safe to leave registered after its end.
   */
  watch(pid: number, { group = false }: { group?: boolean } = {}): void {
    const startTime = startTimeOf(pid);
    if (startTime !== undefined) this.send({ kind: 'watch', pid, startTime, group });
  }

  /** No longer ends this process. */
  forget(pid: number): void {
    this.send({ kind: 'forget', pid });
  }

  /** Removes the folder when this process is gone, after the processes have ended. */
  watchFolder(path: string): void {
    this.send({ kind: 'folder', path: resolve(path) });
  }

  /** Ends and removes everything that is still registered; resolves when that is done. Idempotent. */
  async close(): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    this.pipe.end();
    let limit: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      const error = new Error(
        `the reaper (pid ${this.child.pid}) did not finish within ${CLOSE_LIMIT_MS} ms`,
      );
      limit = setTimeout(() => reject(error), CLOSE_LIMIT_MS);
    });
    try {
      await Promise.race([this.ended, late]);
    } finally {
      clearTimeout(limit);
    }
  }

  private send(message: ReaperMessage): void {
    if (this.pipe.writable) this.pipe.write(`${JSON.stringify(message)}\n`);
  }
}
