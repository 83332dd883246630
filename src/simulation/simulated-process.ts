import type { SimulatedEvent } from './event-heap';
import type { World } from './world';

/** The clocks of one machine, as functions of global ms. */
export class Machine {
  /** By which the kernel's uptime is ahead of the monotonic clock. */
  private suspendedMs = 0;
  private wallStepMs = 0;

  constructor(
    readonly name: string,
    /** Local ms per global ms. */
    readonly rate: number,
    private readonly bootedMs: number,
    private readonly wallMs: number,
  ) {}

  monotonicMs(at: number): number {
    return this.bootedMs + at * this.rate - this.suspendedMs;
  }

  uptimeMs(at: number): number {
    return this.monotonicMs(at) + this.suspendedMs;
  }

  wallClockMs(at: number): number {
    return this.wallMs + this.uptimeMs(at) - this.bootedMs + this.wallStepMs;
  }

  get wasSuspended(): boolean {
    return this.suspendedMs > 0;
  }

  suspend(ms: number): void {
    this.suspendedMs += ms * this.rate;
  }

  stepWallClock(ms: number): void {
    this.wallStepMs += ms;
  }
}

/** A stretch of global time in which a thread stood still. */
export interface Standstill {
  from: number;
  to: number;
  /** With all others of its process: nothing in it could end what it was doing. */
  whole: boolean;
}

/** What the operating system and the libraries do for a process. */
export interface ProcessServices {
  fork?: () => unknown;
  connectBroker?: () => Promise<unknown>;
  /** The workflow that runs in it. */
  workflow?: unknown;
}

/**
 * One event loop: a Node process, or a worker thread of one. It is run from event to event; whatever one of them sets
 * in motion belongs to it. A freeze within an event lets the rest of that event happen later.
 */
export class SimulatedProcess {
  killedAt: number | null = null;
  readonly standstills: Standstill[] = [];
  frozenUntil = 0;
  readonly held: SimulatedEvent[] = [];
  readonly onKill: ((why: string) => void)[] = [];
  /** Run when everything that an event has set in motion is done. */
  afterEvent: (() => void) | null = null;
  services: ProcessServices = {};
  /** How far this event has run ahead of the world. */
  private aheadMs = 0;
  private aheadUntil = 0;
  private armed: { reads: number; ms: number; alsoStops: SimulatedProcess[] } | null = null;
  private readsSinceStop = Infinity;

  constructor(
    readonly world: World,
    readonly name: string,
    readonly machine: Machine,
  ) {}

  get isAlive(): boolean {
    return this.killedAt === null;
  }

  /** Global ms, within the present event. */
  get time(): number {
    return this.world.now + this.aheadMs;
  }

  /** It stood still a moment ago: no clock was read often enough since for anybody to know. */
  get hasJustStopped(): boolean {
    return this.readsSinceStop <= 4;
  }

  /** What it did after a standstill within an event is done already, though the world has not come so far. */
  get isAhead(): boolean {
    return this.world.now < this.aheadUntil;
  }

  /** Every reading of a clock is a moment at which the process may be stopped. */
  readClock(): number {
    if (this.armed && --this.armed.reads <= 0) {
      const { ms, alsoStops } = this.armed;
      this.armed = null;
      this.standstills.push({ from: this.time, to: this.time + ms, whole: alsoStops.length > 0 });
      this.world.trace(this, `stands still for ${Math.round(ms)} ms in the middle of an event`);
      for (const other of alsoStops) if (other !== this) other.freeze(ms);
      this.aheadMs += ms;
      this.aheadUntil = this.time;
      this.readsSinceStop = 0;
    } else this.readsSinceStop += 1;
    return this.time;
  }

  /** Lets it stop at one of the next readings of a clock; `alsoStops` are all threads, or none where only this one hangs. */
  stopWithin(reads: number, ms: number, alsoStops: SimulatedProcess[]): void {
    this.armed = { reads, ms, alsoStops };
  }

  /** With all other threads of its process. */
  freeze(ms: number): void {
    if (!this.isAlive) return;
    const until = this.world.now + ms;
    this.standstills.push({ from: this.world.now, to: until, whole: true });
    this.stopUntil(until);
  }

  /** Takes so long to load its code. */
  bootFor(ms: number): void {
    this.stopUntil(this.world.now + ms);
  }

  /** Makes something known at the moment at which it happens, unless the process is dead by then. */
  note(tell: () => void): void {
    if (this.aheadMs === 0) return tell();
    const at = this.time;
    this.world.at(at, () => {
      if (this.killedAt === null || this.killedAt >= at) tell();
    });
  }

  /** The event is over. */
  endEvent(): void {
    this.readsSinceStop = Infinity;
    if (this.aheadMs === 0) return;
    const until = this.time;
    this.aheadMs = 0;
    this.stopUntil(until);
  }

  kill(why: string): void {
    if (!this.isAlive) return;
    this.killedAt = this.world.now;
    this.world.trace(this, `dies: ${why}`);
    this.held.length = 0;
    for (const tell of this.onKill) tell(why);
  }

  /** Whether it stood still, as a whole, at some moment of the time. */
  stoodStill(from: number, to: number): boolean {
    return this.standstills.some((stop) => stop.whole && stop.from <= to && stop.to >= from);
  }

  private stopUntil(until: number): void {
    if (until <= this.frozenUntil) return;
    this.frozenUntil = until;
    this.world.at(until, () => {
      if (this.frozenUntil > this.world.now || !this.isAlive) return;
      const order = { timer: 0, input: 1, immediate: 2 };
      const held = this.held.splice(0).toSorted((a, b) => order[a.kind] - order[b.kind] || a.seq - b.seq);
      for (const event of held) this.world.schedule(this, event.kind, this.world.now, event);
    });
  }
}
