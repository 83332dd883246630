// What every step of the set-up shares: a line when it begins and when it ends, a sign of life in between,
// and errors that are one sentence. Plain Node: this runs before node_modules exists.
import { spawn } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const ALIVE_EVERY_MS = 15_000;
const LOCK_POLL_MS = 200;
const LOCK_LIMIT_MS = 20 * 60_000;

/** A failure the user can do something about: its message is all that is shown. */
export class SetupError extends Error {}

export function say(line) {
  process.stderr.write(`setup: ${line}\n`);
}

/** Runs `work`, saying what it is, every 15 s that it still runs, and how long it took. */
export async function step(title, work) {
  const began = Date.now();
  const seconds = () => ((Date.now() - began) / 1000).toFixed(1);
  say(`${title} ...`);
  const alive = setInterval(() => say(`${title}: still at it after ${seconds()} s`), ALIVE_EVERY_MS);
  try {
    await work();
  } finally {
    clearInterval(alive);
  }
  say(`${title}: done in ${seconds()} s`);
}

// Installers hold locks and half-written files, so an interrupted set-up ends them before itself.
const children = new Set();

/** Ends what the set-up started; called when it is interrupted. */
export function endChildren() {
  for (const child of children) {
    try {
      process.kill(-child.pid, 'SIGTERM');
    } catch {
      // It ended by itself meanwhile.
    }
  }
}

/**
 * Runs a command quietly.
 * @returns {Promise<{ok: boolean, output: string}>} `output` is stdout and stderr together.
 */
export function run(command, args, options = {}) {
  return new Promise((resolve) => {
    const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], detached: true, ...options });
    children.add(child);
    let output = '';
    const keep = (chunk) => (output = (output + chunk).slice(-200_000));
    child.stdout.on('data', keep);
    child.stderr.on('data', keep);
    child.on('error', (error) => {
      children.delete(child);
      resolve({ ok: false, output: error.message });
    });
    child.on('close', (code) => {
      children.delete(child);
      resolve({ ok: code === 0, output });
    });
  });
}

/** The line of an installer's output that most likely says what went wrong. */
export function reason(output) {
  const lines = output
    .split('\n')
    .map((line) => line.trim())
    // npm opens with an error code and closes with where its log is.
    .filter((line) => !/^(npm error( code .*)?|npm warn .*|.*npm help.*|.*_logs.*)?$/.test(line));
  return (
    lines.find((line) => /error|fail|cannot|unable|denied|^E:/i.test(line)) ?? lines.at(-1) ?? 'no output'
  );
}

/**
 * Runs `work` while holding a lock file, so that two set-ups (two clones, two terminals) do not install
 * the same thing twice. A lock whose owner has died is taken over. What is installed under it is renamed
 * into place all the same: the lock saves work, the rename keeps files whole.
 */
export async function withLock(path, work) {
  mkdirSync(dirname(path), { recursive: true });
  const began = Date.now();
  let sayAt = began;
  while (!take(path)) {
    const waited = Date.now() - began;
    if (waited > LOCK_LIMIT_MS) {
      throw new SetupError(
        `another set-up has held ${path} for 20 minutes; if none runs, run by hand: rm ${path}`,
      );
    }
    if (Date.now() >= sayAt) {
      say(`waiting for another set-up, which holds ${path} (${Math.round(waited / 1000)} s)`);
      sayAt += ALIVE_EVERY_MS;
    }
    await sleep(LOCK_POLL_MS);
  }
  const release = () => rmSync(path, { force: true });
  process.once('exit', release);
  try {
    return await work();
  } finally {
    process.off('exit', release);
    release();
  }
}

function take(path) {
  try {
    writeFileSync(path, String(process.pid), { flag: 'wx' });
    return true;
  } catch (error) {
    if (error.code !== 'EEXIST') throw error;
  }
  const owner = readOwner(path);
  // An empty file is a lock whose owner is just writing its pid.
  if (owner !== undefined && owner > 0 && !isAlive(owner)) rmSync(path, { force: true });
  return false;
}

function readOwner(path) {
  try {
    return Number(readFileSync(path, 'utf8'));
  } catch {
    return undefined; // Released meanwhile.
  }
}

function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === 'EPERM';
  }
}
