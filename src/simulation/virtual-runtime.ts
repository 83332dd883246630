/**
 * Gives each simulated process its own clocks, timers and random ids: Node's are replaced, for all code of this real
 * process, by those of the simulated process whose event runs. Import it before everything that uses them.
 */
import crypto from 'node:crypto';
import os from 'node:os';
import timersPromises from 'node:timers/promises';
import type { SimulatedEvent } from './event-heap';
import type { SimulatedProcess } from './simulated-process';
import { isSimulating, presentWorld } from './world';

function currentProcess(): SimulatedProcess {
  const { current } = presentWorld();
  if (!current) throw new Error('clock or timer used outside of a simulated process');
  return current;
}

class SimulatedTimer {
  private event: SimulatedEvent | null = null;

  constructor(
    private readonly process: SimulatedProcess,
    private readonly run: () => void,
    private readonly ms: number,
    private readonly repeats: boolean,
  ) {
    this.arm();
  }

  clear(): void {
    if (this.event) this.event.run = null;
    this.event = null;
  }

  ref(): this {
    return this;
  }

  unref(): this {
    return this;
  }

  hasRef(): boolean {
    return true;
  }

  refresh(): this {
    this.clear();
    this.arm();
    return this;
  }

  private arm(): void {
    const { process, ms } = this;
    this.event = process.world.schedule(process, 'timer', process.time + ms / process.machine.rate, {
      run: () => {
        this.event = null;
        if (this.repeats) this.arm();
        this.run();
      },
    });
  }
}

/** As Node does: whole ms, at least one. */
const timerMs = (ms: unknown): number => {
  const whole = Math.trunc(Number(ms));
  return whole >= 1 && whole < 2 ** 31 ? whole : 1;
};

function sleep(ms?: number, value?: unknown, options?: { signal?: AbortSignal }): Promise<unknown> {
  const process = currentProcess();
  return new Promise((resolve, reject) => {
    const timer = new SimulatedTimer(process, () => resolve(value), timerMs(ms), false);
    options?.signal?.addEventListener('abort', () => {
      timer.clear();
      reject(new Error('The operation was aborted'));
    });
  });
}

const RealDate = Date;
class SimulatedDate extends RealDate {
  constructor(...given: [] | [number | string]) {
    if (given.length === 0) super(SimulatedDate.now());
    else super(given[0]);
  }

  static override now(): number {
    if (!isSimulating()) return RealDate.now();
    const process = currentProcess();
    return Math.floor(process.machine.wallClockMs(process.readClock()));
  }
}

const replaced: [object, Record<string, unknown>][] = [
  [
    globalThis,
    {
      Date: SimulatedDate,
      setTimeout: (run: (...args: unknown[]) => void, ms?: number, ...args: unknown[]) =>
        new SimulatedTimer(currentProcess(), () => run(...args), timerMs(ms), false),
      setInterval: (run: (...args: unknown[]) => void, ms?: number, ...args: unknown[]) =>
        new SimulatedTimer(currentProcess(), () => run(...args), timerMs(ms), true),
      clearTimeout: (timer?: SimulatedTimer | null) => timer?.clear(),
      clearInterval: (timer?: SimulatedTimer | null) => timer?.clear(),
      setImmediate: (run: (...args: unknown[]) => void, ...args: unknown[]) => {
        const process = currentProcess();
        return process.world.schedule(process, 'immediate', process.time, { run: () => run(...args) });
      },
    },
  ],
  [
    performance,
    {
      now: () => {
        const process = currentProcess();
        return process.machine.monotonicMs(process.readClock());
      },
    },
  ],
  [
    process.hrtime,
    {
      bigint: () => {
        const running = currentProcess();
        return BigInt(Math.round(running.machine.monotonicMs(running.readClock()) * 1e6));
      },
    },
  ],
  [
    os,
    {
      uptime: () => {
        const running = currentProcess();
        return running.machine.uptimeMs(running.readClock()) / 1_000;
      },
    },
  ],
  [timersPromises, { setTimeout: sleep }],
  [crypto, { randomUUID: () => presentWorld().uuid() }],
  [Math, { random: () => presentWorld().random() }],
  [
    process,
    {
      kill: (pid: number) => {
        const { world, time } = currentProcess();
        const kill = world.groups.get(Math.abs(pid));
        if (!kill) throw new Error('kill ESRCH');
        world.at(time, () => kill('SIGKILL'));
        return true;
      },
    },
  ],
];

let isReplaced = false;

/** For good: a real process that simulates does nothing else. */
export function replaceRuntime(): void {
  if (isReplaced) return;
  isReplaced = true;
  for (const [owner, values] of replaced)
    for (const [name, simulated] of Object.entries(values)) {
      const real = (owner as Record<string, unknown>)[name];
      // Before and after, as when modules are loaded, everything is as ever.
      const value =
        simulated === SimulatedDate
          ? simulated
          : (...given: unknown[]): unknown =>
              (isSimulating() ? (simulated as Function) : (real as Function)).apply(owner, given);
      Object.defineProperty(owner, name, { value, configurable: true, writable: true });
    }
  process.on('unhandledRejection', (error) => presentWorld().failed(error));
}
