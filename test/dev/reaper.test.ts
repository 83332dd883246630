import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { isRunning, pidsWithEnvironment, startTimeOf } from '../../src/dev/process-state';
import { Reaper } from '../../src/dev/reaper';
import { eventually } from '../support/eventually';

const compiled = resolve(__dirname, '../../dist/src/dev');
const reaped: ChildProcess[] = [];

afterEach(() => {
  for (const child of reaped.splice(0)) child.kill('SIGKILL');
});

function sleeper(options: { detached?: boolean; env?: NodeJS.ProcessEnv } = {}): number {
  const child = spawn('sleep', ['300'], { stdio: 'ignore', ...options });
  reaped.push(child);
  return child.pid!;
}

/** A parent that registers a process, a group, and a folder, then waits to be killed. */
const parentProgram = `
  const { Reaper } = require(${JSON.stringify(join(compiled, 'reaper.js'))});
  const { spawn } = require('node:child_process');
  const { mkdtempSync, writeFileSync } = require('node:fs');
  const reaper = new Reaper();
  const folder = mkdtempSync(require('node:path').join(require('node:os').tmpdir(), 'reaped-'));
  writeFileSync(folder + '/file', 'x');
  reaper.watchFolder(folder);
  const options = { stdio: 'ignore', env: { ...process.env, ...reaper.environment } };
  const single = spawn('sleep', ['300'], { stdio: 'ignore' });
  reaper.watch(single.pid);
  const stopped = spawn('sleep', ['300'], { stdio: 'ignore' });
  reaper.watch(stopped.pid);
  stopped.kill('SIGSTOP');
  // Ignores SIGTERM, and starts one process in its group and one in a session of its own.
  const leader = spawn('sh', ['-c', 'trap "" TERM; sleep 301 & setsid sleep 302 & wait; wait'], { ...options, detached: true });
  reaper.watch(leader.pid, { group: true });
  setTimeout(() => {
    const mark = Object.entries(reaper.environment)[0].join('=');
    console.log(JSON.stringify({ pids: [single.pid, stopped.pid, leader.pid], reaper: reaper.pid, folder, mark }));
  }, 300);
  setInterval(() => {}, 1000);
`;

interface Announcement {
  pids: number[];
  reaper: number;
  folder: string;
  mark: string;
}

async function startParent(): Promise<{ parent: ChildProcess; announced: Announcement }> {
  const parent = spawn(process.execPath, ['-e', parentProgram], { stdio: ['ignore', 'pipe', 'inherit'] });
  reaped.push(parent);
  for await (const line of createInterface({ input: parent.stdout })) {
    return { parent, announced: JSON.parse(line) as Announcement };
  }
  throw new Error('the parent ended without a word');
}

test.each(['SIGKILL', 'SIGTERM'] as const)(
  'when its parent ends by %s, processes, what they started, and folders are gone',
  async (signal) => {
    const { parent, announced } = await startParent();
    // The shell may take its time to start the other two.
    const everything = await eventually(() => {
      const found = new Set([...announced.pids, ...pidsWithEnvironment(announced.mark)]);
      expect(found.size).toBe(5);
      return found;
    });
    expect([...everything].filter((pid) => !isRunning(pid))).toEqual([]);

    parent.kill(signal);

    await eventually(() => expect([...everything].filter(isRunning)).toEqual([]), 30_000);
    await eventually(() => expect(existsSync(announced.folder)).toBe(false), 30_000);
    await eventually(() => expect(isRunning(announced.reaper)).toBe(false), 30_000);
  },
);

test('signals that end everything else in a terminal do not end the reaper before its parent', async () => {
  const { parent, announced } = await startParent();
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.kill(announced.reaper, signal);
  await sleep(200);
  expect(isRunning(announced.reaper)).toBe(true);
  expect(announced.pids.filter((pid) => !isRunning(pid))).toEqual([]);

  parent.kill('SIGKILL');
  await eventually(() => expect(announced.pids.filter(isRunning)).toEqual([]), 30_000);
});

test('a pid that meanwhile belongs to another process is left alone, and so is its group', async () => {
  const stranger = sleeper({ detached: true });
  const reaper = spawn(process.execPath, [join(compiled, 'reaper-main.js'), 'NO_SUCH=mark'], {
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  const ended = new Promise((done) => reaper.once('exit', done));
  const startTime = `${Number(startTimeOf(stranger)) - 1}`; // That of a process that had this pid before.
  reaper.stdin.end(`${JSON.stringify({ kind: 'watch', pid: stranger, startTime, group: true })}\n`);

  expect(await ended).toBe(0);
  expect(isRunning(stranger)).toBe(true);
});

test('close ends what is registered, spares what was forgotten, and resolves when that is done', async () => {
  const reaper = new Reaper();
  const [kept, ended] = [sleeper(), sleeper()];
  const folder = mkdtempSync(join(tmpdir(), 'reaper-'));
  writeFileSync(join(folder, 'file'), 'x');
  reaper.watchFolder(folder);
  for (const pid of [kept, ended]) reaper.watch(pid);
  reaper.forget(kept);

  await reaper.close();

  expect(isRunning(ended)).toBe(false);
  expect(isRunning(kept)).toBe(true);
  expect(existsSync(folder)).toBe(false);
  await reaper.close();
});

test('a group is ended also when its leader has died before', async () => {
  const reaper = new Reaper();
  const leader = spawn('sh', ['-c', 'sleep 303 & echo $!; read line'], {
    stdio: ['pipe', 'pipe', 'ignore'],
    detached: true,
  });
  const member = Number(String(await new Promise((done) => leader.stdout.once('data', done))));
  reaper.watch(leader.pid!, { group: true });
  leader.stdin.end('\n');
  await new Promise((done) => leader.once('exit', done));
  expect(isRunning(member)).toBe(true);

  await reaper.close();

  expect(isRunning(member)).toBe(false);
});

test('a zombie does not count as running', async () => {
  // Its parent never asks for its exit, so it stays a zombie for which signal 0 succeeds.
  const program = `const { pid } = require('node:child_process').spawn('sleep', ['300']); console.log(pid); while (true);`;
  const parent = spawn(process.execPath, ['-e', program], { stdio: ['ignore', 'pipe', 'inherit'] });
  reaped.push(parent);
  const pid = Number(String(await new Promise((done) => parent.stdout.once('data', done))));
  expect(isRunning(pid)).toBe(true);

  process.kill(pid, 'SIGKILL');

  await eventually(() => expect(isRunning(pid)).toBe(false));
  expect(process.kill(pid, 0)).toBe(true);
});
