/**
 * The process that cleans up after its parent, however that ends. It holds the reading end of a pipe from the parent
 * and learns from it, one JSON line each, what to clean up (see {@link ReaperMessage}). When the pipe closes because
 * the parent is done, has exited or was killed, it ends every process it was told of, removes the folders, and exits.
 */
import { rmSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { groupMembers, pidsWithEnvironment, startTimeOf } from './process-state';
import { OUTER_MARK_NAME, type ReaperMessage } from './reaper';

/** How long a process may take to end by itself. Short: what it wrote is thrown away anyway. */
const GRACE_MS = 500;
/** How long to wait for killed processes, of which one may sit in an uninterruptible system call. */
const KILL_LIMIT_MS = 10_000;
const POLL_MS = 20;

interface Watched {
  pid: number;
  startTime: string;
  group: boolean;
}

/** `NAME=value`, as in the environment of what this process is to end. */
const mark = process.argv[2] ?? '';
const watched = new Map<number, Watched>();
const folders = new Set<string>();

// Ctrl-C in a terminal reaches the whole foreground group; this process must outlive the others.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => {});

const lines = createInterface({ input: process.stdin });
lines.on('line', (line) => note(JSON.parse(line) as ReaperMessage));
lines.on('close', () => void reap());

function note(message: ReaperMessage): void {
  switch (message.kind) {
    case 'watch':
      watched.set(message.pid, { pid: message.pid, startTime: message.startTime, group: message.group });
      return;
    case 'forget':
      watched.delete(message.pid);
      return;
    case 'folder':
      folders.add(message.path);
      return;
  }
}

async function reap(): Promise<void> {
  signalAll('SIGTERM');
  signalAll('SIGCONT'); // A paused process does not get to its SIGTERM before.
  await untilAllEnded(GRACE_MS);
  const giveUpAt = Date.now() + KILL_LIMIT_MS;
  // Repeatedly: a process may have started another one just before it was killed.
  do {
    signalAll('SIGKILL');
    await untilAllEnded(POLL_MS * 5);
  } while (remaining().length > 0 && Date.now() < giveUpAt);
  // The reapers of processes that were just killed have work of their own, for instance below our folders.
  while (innerReapers().length > 0 && Date.now() < giveUpAt) await sleep(POLL_MS);
  for (const folder of folders)
    rmSync(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 50 });
  process.exit(0);
}

function innerReapers(): number[] {
  return pidsWithEnvironment(`${OUTER_MARK_NAME}=${mark.slice(mark.indexOf('=') + 1)}`);
}

async function untilAllEnded(limitMs: number): Promise<void> {
  const giveUpAt = Date.now() + limitMs;
  while (remaining().length > 0 && Date.now() < giveUpAt) await sleep(POLL_MS);
}

function signalAll(signal: NodeJS.Signals): void {
  for (const pid of remaining()) {
    try {
      process.kill(pid, signal);
    } catch {
      // It ended meanwhile.
    }
  }
}

/**
 * What still runs of the registered processes, their groups, and everything they started: those carry our mark in
 * their environment, also in a group of their own. A pid that now belongs to a later process is left alone.
 */
function remaining(): number[] {
  const pids = new Set(pidsWithEnvironment(mark));
  for (const { pid, startTime, group } of watched.values()) {
    const present = startTimeOf(pid);
    if (present === startTime) pids.add(pid);
    // While a group has members its id is not given to a new process, so it is still ours when no other process has it.
    if (group && (present === startTime || present === undefined))
      groupMembers(pid).forEach((each) => pids.add(each));
  }
  pids.delete(process.pid);
  return [...pids];
}
