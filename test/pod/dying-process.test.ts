import { fork, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import type { Readable } from 'node:stream';
import { isRunning } from '../../src/dev/process-state';
import { deathNoticeFd } from '../../src/listener/protocol';
import { dyingProcess, type Dying } from '../../src/pod/dying-process';
import type * as listenerProcess from '../../src/pod/listener-process';
import { eventually } from '../support/eventually';

const dist = resolve(__dirname, '../../dist/src');
const giveNotice = `require(${JSON.stringify(join(dist, 'listener/death-notice.js'))}).giveDeathNotice();`;
/** As much memory as takes the kernel some milliseconds to give back. */
const heavy = `
  const hoard = Array.from({ length: 3_000 }, () => Buffer.alloc(65_536, 1));
  setInterval(() => hoard.length, 1_000);
  process.send('up');`;

let folder: string;
const children: { kill: () => unknown }[] = [];
beforeEach(() => (folder = mkdtempSync(join(tmpdir(), 'baton-dying-'))));
afterEach(() => {
  for (const child of children.splice(0)) child.kill();
  rmSync(folder, { recursive: true, force: true });
});

async function started(script: string): Promise<ChildProcess & { pid: number }> {
  const file = join(folder, 'child.js');
  writeFileSync(file, script);
  const child = fork(file, [], { stdio: ['ignore', 'inherit', 'inherit', 'ipc', 'ignore', 'pipe'] });
  children.push({ kill: () => child.kill('SIGKILL') });
  await once(child, 'message');
  return Object.assign(child, { pid: child.pid! });
}

/** Within one tick, in which nothing can be reaped. */
function watchTo(state: Dying['state'], pid: number): Dying {
  const giveUpAt = performance.now() + 10_000;
  for (;;) {
    const dying = dyingProcess(pid);
    if (dying.state === state || performance.now() > giveUpAt) return dying;
  }
}

const noticeOf = (child: ChildProcess): Readable => (child.stdio as Readable[])[deathNoticeFd]!.resume();
const childrenOf = (pid: number): number[] =>
  readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').filter(Boolean).map(Number);
const isThere = (pid: number): boolean => {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
};

describe('a process that dies', () => {
  test('is dead before it is reaped, and alive while it may still do something', async () => {
    const child = await started(heavy);
    expect(dyingProcess(child.pid)).toEqual({ state: 'alive' });
    child.kill('SIGSTOP');
    expect(dyingProcess(child.pid)).toEqual({ state: 'alive' });
    const exited = once(child, 'exit');
    child.kill('SIGKILL');
    expect(watchTo('dead', child.pid)).toEqual({ state: 'dead', why: 'died of SIGKILL' });
    await exited;
    // Whose pid it is now, nobody knows.
    expect(dyingProcess(child.pid)).toEqual({ state: 'alive' });
  });

  test('is not dead while one of its threads is still at work', async () => {
    // Ends the main thread alone, which Node cannot.
    const exit = { x64: 60, arm64: 93 }[process.arch as string];
    const script = `use threads; threads->create(sub { select(undef, undef, undef, 0.01) while 1 }); syscall(${exit}, 0)`;
    const child = spawn('perl', ['-e', script], { stdio: ['ignore', 'inherit', 'inherit'] });
    children.push({ kill: () => child.kill('SIGKILL') });
    await eventually(() => expect(dyingProcess(child.pid!)).toEqual({ state: 'dying' }));
    const exited = once(child, 'exit');
    child.kill('SIGKILL');
    await exited;
  });

  test('says the code with which it ended', async () => {
    const child = await started(`process.on('message', () => process.exit(7));${heavy}`);
    child.send('end');
    expect(watchTo('dead', child.pid)).toEqual({ state: 'dead', why: 'exited with code 7' });
  });
});

describe('the notice of a death', () => {
  // On a busy machine both may be there when the agent looks, and then the exit is told first.
  const attempts = 8;

  test('comes before the exit, and leaves no process behind', async () => {
    const first: string[] = [];
    while (!first.includes('notice') && first.length < attempts) {
      const child = await started(`${giveNotice}${heavy}`);
      const helpers = childrenOf(child.pid);
      expect(helpers).toHaveLength(1);
      const notice = once(noticeOf(child), 'close');
      const exited = once(child, 'exit');
      child.kill('SIGKILL');
      first.push(await Promise.race([notice.then(() => 'notice'), exited.then(() => 'exit')]));
      await Promise.all([notice, exited]);
      await eventually(() => expect(helpers.filter(isRunning)).toEqual([]));
    }
    expect(first).toContain('notice');
  });

  test('comes at once where there is no setpriv, and says nothing then', async () => {
    const child = await started(`process.env.PATH = ${JSON.stringify(folder)};${giveNotice}${heavy}`);
    const notice = noticeOf(child);
    if (!notice.closed) await once(notice, 'close');
    expect(dyingProcess(child.pid)).toEqual({ state: 'alive' });
  });

  test('lets the agent’s handle tell of the exit before the kernel has reaped the process', async () => {
    const reaped: boolean[] = [];
    while (!reaped.includes(false) && reaped.length < attempts) {
      const listener = handle();
      const { pid } = listener;
      const told = new Promise<string>((done) =>
        listener.once('exit', (why) => {
          reaped.push(!isThere(pid));
          done(why);
        }),
      );
      await untilUp(listener);
      process.kill(pid, 'SIGKILL');
      await expect(told).resolves.toBe('died of SIGKILL');
      await expect(listener.exited).resolves.toBe('died of SIGKILL');
    }
    expect(reaped).toContain(false);
  });

  test('is no death when only the one who gives it has died', async () => {
    const listener = handle();
    await untilUp(listener);
    for (const helper of childrenOf(listener.pid)) process.kill(helper, 'SIGKILL');
    const survived = await Promise.race([listener.exited, untilUp(listener).then(() => 'it reports')]);
    expect(survived).toBe('it reports');
    // Then the kernel's report has to do.
    process.kill(listener.pid, 'SIGKILL');
    await expect(listener.exited).resolves.toBe('died of SIGKILL');
  });
});

function handle(): listenerProcess.ListenerProcess {
  const { ListenerProcess } = jest.requireActual<typeof listenerProcess>(
    join(dist, 'pod/listener-process.js'),
  );
  const listener = new ListenerProcess({
    ...{ region: 'here', pod: 'pod', locks: [], logLevel: 'fatal' },
    etcd: { endpoints: ['http://127.0.0.1:9'] },
  });
  children.push({ kill: () => listener.kill('the test is over') });
  return listener;
}

/** It reports what it does, once a second. */
async function untilUp(listener: listenerProcess.ListenerProcess): Promise<void> {
  await once(listener, 'metrics');
}
