import { seededRandom } from '../bench/random';
import { EventHeap, type EventKind, type SimulatedEvent } from './event-heap';
import type { SimulatedProcess } from './simulated-process';

/** Runs all promise reactions and ticks that are due, without a turn of the real event loop. */
const reactions = (process as unknown as Record<'_tickCallback', () => void>)['_tickCallback'];

/** One way of a connection: what is sent later arrives later. */
export interface Pipe {
  lastArrival: number;
}

/** A way through the network that can be cut, in global ms. */
export interface Route {
  cutUntil: { there: number; back: number };
  /** Added to each delay. */
  slowMs: number;
}

export const freshRoute = (): Route => ({ cutUntil: { there: 0, back: 0 }, slowMs: 0 });

export interface Transfer {
  from?: SimulatedProcess | null;
  to?: SimulatedProcess | null;
  route?: Route;
  way?: 'there' | 'back';
  pipe?: Pipe;
  /** Whether a cut can swallow it; else it arrives after the cut. */
  mayBeLost?: boolean;
  minMs?: number;
  maxMs?: number;
}

let present: World | null = null;

/** The world that runs now. */
export function presentWorld(): World {
  if (!present) throw new Error('no simulation runs');
  return present;
}

const enterWorld = (world: World | null): void => {
  present = world;
};

export const isSimulating = (): boolean => present !== null;

export class Violation {
  constructor(
    readonly at: number,
    readonly rule: string,
    readonly what: string,
  ) {}
}

/** Simulated time: what happens next, in which process. The same seed gives the same run, event by event. */
export class World {
  now = 0;
  current: SimulatedProcess | null = null;
  events = 0;
  readonly violations: Violation[] = [];
  /** Of every line of the trace, whether it is kept or not. */
  hash = 0x811c9dc5;
  /** Process groups by pid. `false`: there is no such group. */
  readonly groups = new Map<number, (why: string) => boolean>();
  private pids = 1_000;
  private seq = 0;
  private ids = 0;
  private readonly heap = new EventHeap();
  readonly random: () => number;

  constructor(
    readonly seed: number,
    private readonly lines: string[] | null,
  ) {
    this.random = seededRandom(Math.imul(seed, 0x9e3779b1) + 1);
  }

  // --- chance ------------------------------------------------------------------------------------------

  chance(probability: number): boolean {
    return this.random() < probability;
  }

  between(min: number, max: number): number {
    return min + this.random() * (max - min);
  }

  whole(min: number, max: number): number {
    return Math.floor(this.between(min, max + 1));
  }

  pick<T>(from: readonly T[]): T {
    return from[Math.floor(this.random() * from.length)] as T;
  }

  uuid(): string {
    const hex = (): string =>
      Math.floor(this.random() * 2 ** 32)
        .toString(16)
        .padStart(8, '0');
    return `${hex()}-${(this.ids += 1)}`;
  }

  nextPid(): number {
    return (this.pids += 1);
  }

  // --- what happens ------------------------------------------------------------------------------------

  schedule(
    process: SimulatedProcess | null,
    kind: EventKind,
    time: number,
    reused: { run: (() => void) | null },
  ): SimulatedEvent {
    const event = reused as SimulatedEvent;
    Object.assign(event, { process, kind, time, seq: (this.seq += 1) });
    this.heap.push(event);
    return event;
  }

  /** Outside of all processes. */
  at(time: number, run: () => void): SimulatedEvent {
    return this.schedule(null, 'input', Math.max(time, this.now), { run });
  }

  after(ms: number, run: () => void): SimulatedEvent {
    return this.at(this.now + ms, run);
  }

  /** Sends something; `run` happens at its arrival, unless the sender was dead before it left. */
  transmit(transfer: Transfer, run: () => void): void {
    const { from = null, to = null, route, way = 'there', pipe, mayBeLost = false } = transfer;
    const sentAt = from?.time ?? this.now;
    let arrival = sentAt + this.between(transfer.minMs ?? 0.2, transfer.maxMs ?? 2) + (route?.slowMs ?? 0);
    if (this.chance(0.01)) arrival += this.between(0, 120);
    const cutUntil = route?.cutUntil[way] ?? 0;
    if (cutUntil > sentAt) {
      if (mayBeLost && this.chance(0.5)) return;
      arrival = cutUntil + this.between(1, 200);
    }
    if (pipe) {
      arrival = Math.max(arrival, pipe.lastArrival + 0.001);
      pipe.lastArrival = arrival;
    }
    this.schedule(to, 'input', arrival, {
      run: () => {
        if (from?.killedAt != null && sentAt > from.killedAt) return;
        run();
      },
    });
  }

  /** A suspended machine: the timers of its processes stand still, too. */
  shiftTimers(processes: readonly SimulatedProcess[], byMs: number): void {
    this.heap.shift(
      ({ process, kind }) => kind === 'timer' && process !== null && processes.includes(process),
      byMs,
    );
  }

  /** Until `done`, or `limitMs` of global time. Returns whether it was done. */
  run(done: () => boolean, limitMs: number): boolean {
    enterWorld(this);
    try {
      for (;;) {
        if (done()) return true;
        const event = this.heap.pop();
        if (!event) return false;
        if (event.time > limitMs) {
          this.heap.push(event);
          this.now = limitMs;
          return false;
        }
        this.now = event.time;
        if (event.run !== null) this.perform(event);
      }
    } finally {
      enterWorld(null);
    }
  }

  /** What the present event has set in motion. */
  runReactions(): void {
    reactions.call(process);
  }

  /** Runs something in a process now, as an event of its own. */
  enter(process: SimulatedProcess, work: () => void): void {
    this.schedule(process, 'input', this.now, { run: work });
  }

  private perform(event: SimulatedEvent): void {
    const { process } = event;
    if (process !== null) {
      if (!process.isAlive) return;
      if (process.frozenUntil > this.now) {
        process.held.push(event);
        return;
      }
    }
    this.events += 1;
    this.current = process;
    try {
      event.run?.();
      this.runReactions();
      process?.afterEvent?.();
    } catch (error) {
      this.failed(error);
    }
    process?.endEvent();
    this.current = null;
  }

  // --- what is known of it -----------------------------------------------------------------------------

  /** An error that nobody caught: it would end the real process. */
  failed(error: unknown): void {
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
    this.violate('uncaught error', `${this.current?.name ?? 'outside'}: ${text}`);
  }

  violate(rule: string, what: string, at = this.now): void {
    this.violations.push(new Violation(at, rule, what));
    this.trace(null, `VIOLATION of "${rule}": ${what}`, at);
  }

  trace(process: SimulatedProcess | null, what: string, at = process?.time ?? this.now): void {
    const line = `${at.toFixed(3)} ${process?.name ?? '-'} ${what}`;
    let { hash } = this;
    for (let index = 0; index < line.length; index += 1)
      hash = Math.imul(hash ^ line.charCodeAt(index), 0x01000193);
    this.hash = hash >>> 0;
    this.lines?.push(line);
  }

  /** Kept with the trace, and no part of what happened. */
  remark(process: SimulatedProcess | null, what: string): void {
    this.lines?.push(`${(process?.time ?? this.now).toFixed(3)} ${process?.name ?? '-'}   ${what}`);
  }

  get isTraced(): boolean {
    return this.lines !== null;
  }
}
