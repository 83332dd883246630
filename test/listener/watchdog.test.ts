import { fork, type ChildProcess } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { isRunning } from '../../src/dev/process-state';
import { encodeClear, encodeSet, FrameReader } from '../../src/listener/watchdog-frames';
import { eventually } from '../support/eventually';
import { ListenerFixture, nsIn, type ListenerChild } from './listener-fixture';

describe('frames', () => {
  const set = { lock: 'ordérs', token: 12, deadlineNs: 12_345_678_901_234_567n, marginMs: 500 };

  it('arrive whole, wherever the pipe cuts them', () => {
    const bytes = Buffer.from(encodeSet(set) + encodeClear('ordérs'));
    for (let cut = 0; cut <= bytes.length; cut += 1) {
      const reader = new FrameReader();
      const frames = [...reader.push(bytes.subarray(0, cut)), ...reader.push(bytes.subarray(cut))];
      expect(frames).toEqual([
        { set: { ...set, deadlineNs: '12345678901234567' } },
        { clear: { lock: 'ordérs' } },
      ]);
    }
  });

  it('that are not JSON are an error', () => {
    expect(() => new FrameReader().push(Buffer.from('{"set":\n'))).toThrow(SyntaxError);
  });
});

describe('the watchdog of a listener process', () => {
  let fixture: ListenerFixture;
  let child: ListenerChild;
  const marginMs = 3_000;

  beforeEach(async () => {
    fixture = await new ListenerFixture().open();
    child = await fixture.forkWarm();
  });
  afterEach(() => fixture.close());

  const set = (deadlineInMs: number, token = 5): void => {
    child.watchdog.write(encodeSet({ lock: fixture.lock, token, deadlineNs: nsIn(deadlineInMs), marginMs }));
  };
  const deathAfter = async (began: number): Promise<number> => {
    const { signal, at } = await child.exited;
    expect(signal).toBe('SIGKILL');
    return at - began;
  };
  /**
   * What a machine that stalls may take for what happens at once. Nothing else would end the process for much longer:
   * the handlers block, and the deadlines lie, a minute and more away.
   */
  const atOnceMs = 10_000;

  it('kills it at the deadline while its main thread is stuck', async () => {
    const deadlineInMs = 5_000;
    const began = performance.now();
    await fixture.startTenure(child, deadlineInMs);
    await fixture.publish([{ id: 1, blockMs: 60_000 }]);
    await eventually(() => expect(fixture.notes('start')).toHaveLength(1));
    const died = await deathAfter(began);
    expect(died).toBeGreaterThan(deadlineInMs - 10);
    expect(died).toBeLessThan(deadlineInMs + atOnceMs);
  });

  it('lets it go on while extensions come, though its main thread is stuck', async () => {
    const deadlineInMs = 4_000;
    const token = await fixture.startTenure(child, deadlineInMs);
    // Stuck for longer than the deadline that it knows when it begins.
    await fixture.publish([{ id: 1, blockMs: 6_000 }, { id: 2 }]);
    await eventually(async () => {
      set(deadlineInMs, token);
      child.send({ kind: 'deadline', lock: fixture.lock, token, deadlineNs: nsIn(deadlineInMs) });
      await sleep(200);
      expect(fixture.notes('end')).toHaveLength(2);
    }, 30_000);
    expect(child.messages.some(({ kind }) => kind === 'halted')).toBe(false);
    // The deadlines that came while it was stuck counted, and none of the handlers was aborted.
    expect(fixture.notes('aborted')).toEqual([]);
  });

  it('kills it at once when its agent is gone', async () => {
    await fixture.startTenure(child);
    await fixture.publish([{ id: 1, blockMs: 60_000 }]);
    await eventually(() => expect(fixture.notes('start')).toHaveLength(1));
    const began = performance.now();
    child.watchdog.destroy();
    expect(await deathAfter(began)).toBeLessThan(atOnceMs);
  });

  it('kills it when a frame cannot be understood', async () => {
    const began = performance.now();
    child.watchdog.write('nonsense\n');
    expect(await deathAfter(began)).toBeLessThan(atOnceMs);
  });

  it('does not let an earlier deadline or an older token move the deadline', async () => {
    const began = performance.now();
    set(600, 5);
    set(100, 5);
    set(100, 4);
    expect(await deathAfter(began)).toBeGreaterThan(590);
  });

  it('stops watching a tenure that was cleared', async () => {
    set(2_000);
    child.watchdog.write(encodeClear(fixture.lock));
    await sleep(3_000);
    child.send({ kind: 'ping', n: 1 });
    expect(await child.next('pong')).toMatchObject({ n: 1 });
  });
});

describe('a listener whose agent is frozen', () => {
  it('is dead by its deadline', async () => {
    const fixture = await new ListenerFixture().open();
    const main = resolve(__dirname, '../../dist/src/listener/main.js');
    const deadlineInMs = 5_000;
    // An agent of its own, because this process cannot freeze itself and look on.
    const script = join(fixture.folder, 'agent.js');
    writeFileSync(
      script,
      `const { fork } = require('node:child_process');
       const child = fork(${JSON.stringify(main)}, [], { serialization: 'advanced', detached: true,
         stdio: ['ignore', 'ignore', 'inherit', 'ipc', 'pipe'] });
       const deadlineNs = process.hrtime.bigint() + ${deadlineInMs}_000_000n;
       child.stdio[4].write(JSON.stringify({ set: { lock: 'a', token: 1, deadlineNs: String(deadlineNs), marginMs: 500 } }) + '\\n');
       process.send(child.pid);`,
    );
    const began = performance.now();
    const agent: ChildProcess = fork(script);
    try {
      const pid = await new Promise<number>((done) =>
        agent.once('message', (message) => done(message as number)),
      );
      await sleep(300);
      agent.kill('SIGSTOP');
      expect(isRunning(pid)).toBe(true);
      // Nothing else would ever end it.
      await eventually(() => expect(isRunning(pid)).toBe(false), 20_000);
      expect(performance.now() - began).toBeGreaterThan(deadlineInMs - 10);
    } finally {
      agent.kill('SIGKILL');
      await fixture.close();
    }
  });
});
