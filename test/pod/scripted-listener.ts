import { EventEmitter } from 'node:events';
import type { DrainReport, ListenerStats } from '../../src/listener/protocol';
import type { ListenerGroup, ListenerGroupEvents } from '../../src/pod/listener-group';
import type { DrainOrder, ListenerProcess } from '../../src/pod/listener-process';
import type { HolderChange } from '../../src/pod/lock-store';

type Start = Parameters<ListenerProcess['start']>[0];
type Prepare = Parameters<ListenerProcess['prepare']>[0];
type Extension = Parameters<ListenerProcess['extend']>[0];

let nextPid = 1_000_000;

/** A listener process without a process: does at once what it is told, and what a test lets happen to it. */
export class ScriptedListener implements Pick<
  ListenerProcess,
  | 'pid'
  | 'exited'
  | 'isAlive'
  | 'isWarm'
  | 'isCold'
  | 'whyCold'
  | 'statsOf'
  | 'prepare'
  | 'unprepare'
  | 'start'
  | 'extend'
  | 'drain'
  | 'rehearse'
  | 'resume'
  | 'end'
  | 'kill'
> {
  readonly pid = nextPid++;
  readonly exited: Promise<string>;
  /** What it was told, in order: `start 7`, `drain 7`, `kill`. */
  readonly told: string[] = [];
  readonly preparations: Prepare[] = [];
  /** What it consumes ahead for. */
  preparation: Prepare | null = null;
  readonly starts: Start[] = [];
  readonly extensions: Extension[] = [];
  readonly stats = new Map<string, ListenerStats>();
  warm = false;
  coldReason: string | null = null;
  hasExited = false;
  killedFor: string | null = null;
  /** ms from SIGKILL to the exit. */
  exitDelayMs = 0;
  /** How a drain goes. Default: two messages finished, one returned, and the hand-over is left to the agent. */
  onDrain: (handOver?: HolderChange) => Promise<DrainReport> = () => Promise.resolve(drained());
  /** Called by the group, which has one; what follows an exit or a start. */
  onExit: (why: string) => void = () => {};
  onStart: (start: Start) => void = () => {};
  /** Default: it consumes ahead at once. */
  onPrepare: () => void = () => {};
  private resolveExited!: (why: string) => void;

  constructor() {
    this.exited = new Promise((resolve) => (this.resolveExited = resolve));
  }

  get isAlive(): boolean {
    return !this.hasExited && this.killedFor === null;
  }

  isWarm(): boolean {
    return this.isAlive && this.warm;
  }

  isCold(): boolean {
    return this.coldReason !== null;
  }

  whyCold(): string {
    return this.coldReason ?? 'listener is starting';
  }

  statsOf(lock: string): ListenerStats | undefined {
    return this.stats.get(lock);
  }

  prepare(input: Prepare): void {
    this.preparations.push(input);
    this.preparation = input;
    this.onPrepare();
  }

  unprepare(): void {
    this.preparation = null;
  }

  start(input: Start): void {
    this.preparation = null;
    this.told.push(`start ${input.token}`);
    this.starts.push(input);
    this.onStart(input);
  }

  extend(input: Extension): void {
    this.extensions.push(input);
  }

  async drain({ token, handOver }: DrainOrder): Promise<DrainReport> {
    this.told.push(`drain ${token}`);
    const unknown = { outcome: 'unknown', why: 'the listener has exited' } as const;
    const died = this.exited.then(() =>
      drained({
        ...{ drained: 0, requeued: 0, complete: false },
        ...(handOver && { handedOver: unknown }),
      }),
    );
    return Promise.race([this.onDrain(handOver), died]);
  }

  rehearse(): void {}

  resume(_lock: string, token: number): void {
    this.told.push(`resume ${token}`);
  }

  end(_lock: string, token: number): void {
    this.told.push(`end ${token}`);
  }

  kill(why: string): Promise<string> {
    if (this.isAlive) {
      this.told.push('kill');
      this.killedFor = why;
      setTimeout(() => this.exit(why), this.exitDelayMs);
    }
    return this.exited;
  }

  /** The kernel has reaped it. */
  exit(why: string): void {
    if (this.hasExited) return;
    this.hasExited = true;
    this.resolveExited(why);
    this.onExit(why);
  }

  /** As the code under test takes it. */
  get asProcess(): ListenerProcess {
    return this as unknown as ListenerProcess;
  }
}

export const drained = (more: Partial<DrainReport> = {}): DrainReport => ({
  drained: 2,
  requeued: 1,
  complete: true,
  lastFinishedAt: Date.now(),
  drainedAt: Date.now(),
  ...more,
});

/** What takes a dead listener's place: a warm spare, one that never becomes warm, or none. */
export type Replacement = 'warm' | 'starting' | 'none';

/** The listener processes of one lock, with the surface and the events of `ListenerGroup`. */
export class ScriptedGroup
  extends EventEmitter<ListenerGroupEvents>
  implements
    Pick<ListenerGroup, 'current' | 'isReady' | 'readiness' | 'whyNotReady' | 'hold' | 'letGo' | 'close'>
{
  replacement: Replacement = 'warm';
  /** All there have been, the present one last. */
  readonly forked: ScriptedListener[] = [];
  /** ms from SIGKILL to the exit, of those to come as well. */
  exitDelayMs = 0;
  private present: ScriptedListener | null;

  constructor(private readonly lock: string) {
    super();
    this.present = this.fork();
  }

  get listener(): ScriptedListener {
    if (!this.present) throw new Error('there is no listener now');
    return this.present;
  }

  get current(): ListenerProcess | null {
    return this.present?.asProcess ?? null;
  }

  isReady(): boolean {
    return this.present?.isWarm() ?? false;
  }

  readiness(): 'ready' | 'warming' | 'unhealthy' {
    if (this.isReady()) return 'ready';
    return this.present?.isCold() ? 'unhealthy' : 'warming';
  }

  whyNotReady(): string {
    return this.present?.whyCold() ?? 'listener process is being replaced';
  }

  hold(): void {}
  letGo(): void {}
  close(): Promise<void> {
    return Promise.resolve();
  }

  becomeWarm(): void {
    this.present ??= this.fork();
    this.present.warm = true;
    this.present.coldReason = null;
    this.emit('readiness', this.lock);
  }

  becomeCold(why: string): void {
    this.listener.warm = false;
    this.listener.coldReason = why;
    this.emit('readiness', this.lock);
  }

  /** The listener found the tenure by its own read, before the agent knew of it. */
  startAhead(token: number, more: { firstMessageAt?: number } = {}): void {
    const { listener, lock } = this;
    this.emit('started', listener.asProcess, lock, token);
    this.emit('consuming', listener.asProcess, lock, token);
    if (more.firstMessageAt !== undefined)
      this.emit('firstMessage', listener.asProcess, lock, token, more.firstMessageAt);
  }

  crash(why = 'died of SIGSEGV'): void {
    this.listener.exit(why);
  }

  halt(token: number, why: string): void {
    this.emit('halted', this.listener.asProcess, this.lock, token, why);
  }

  /** As the code under test takes it. */
  get asGroup(): ListenerGroup {
    return this as unknown as ListenerGroup;
  }

  private fork(): ScriptedListener {
    const listener = new ScriptedListener();
    this.forked.push(listener);
    listener.exitDelayMs = this.exitDelayMs;
    listener.onStart = ({ token }) =>
      setImmediate(() => {
        if (listener.isAlive) this.emit('consuming', listener.asProcess, this.lock, token);
      });
    listener.onPrepare = () =>
      setImmediate(() => {
        if (listener.isAlive) this.emit('prepared', listener.asProcess, this.lock);
      });
    listener.onExit = (why) => {
      if (listener !== this.present) return;
      this.present = this.replacement === 'none' ? null : this.fork();
      if (this.present) this.present.warm = this.replacement === 'warm';
      this.emit('exit', listener.asProcess, why);
      this.emit('readiness', this.lock);
    };
    return listener;
  }
}
