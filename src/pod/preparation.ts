import type { TraceContext } from '../../workflows/trace-context';
import type { ListenerProcess } from './listener-process';

/** For whom to consume ahead: a tenure above `afterToken` on this lease. */
export interface Expectation {
  /** Of the hand-over that was offered; `null` when this pod is about to go on in its spare. */
  offerId: string | null;
  leaseId: string;
  afterToken: number;
  deadlineNs: bigint;
  trace?: TraceContext;
}

/** What the listener said of a tenure that it began by itself, before the agent knew of it. */
export interface EarlyNews {
  consuming: boolean;
  firstMessageAt: number | null;
}

interface Prepared extends Expectation, EarlyNews {
  process: ListenerProcess;
  /** The broker delivers ahead. */
  ready: boolean;
  startedToken: number | null;
}

/**
 * One lock's listener consuming ahead of a tenure: it holds what comes, and begins by itself in the instant in
 * which etcd shows this pod as holder. The agent's own `begin` then finds it at work.
 */
export class Preparation {
  private now: Prepared | null = null;

  constructor(
    private readonly lock: string,
    private readonly marginMs: number,
  ) {}

  /** The offer that can be accepted: what this pod's candidate key should say. */
  get preparedFor(): string | undefined {
    return this.now?.ready ? (this.now.offerId ?? undefined) : undefined;
  }

  get isActive(): boolean {
    return this.now !== null;
  }

  /** Idempotent. */
  begin(process: ListenerProcess, expectation: Expectation): void {
    const { now } = this;
    const { offerId, leaseId, afterToken } = expectation;
    if (now?.process === process && now.leaseId === leaseId && now.afterToken === afterToken) {
      now.offerId = offerId;
      return;
    }
    void this.drop();
    const early = { ready: false, startedToken: null, consuming: false, firstMessageAt: null };
    this.now = { ...expectation, ...early, process };
    this.send();
  }

  /** A confirmed extension of the lease. */
  extend(deadlineNs: bigint): void {
    if (!this.now || deadlineNs <= this.now.deadlineNs) return;
    this.now.deadlineNs = deadlineNs;
    this.send();
  }

  /** Nothing will come of it. A process in which something has begun is killed: resolves with its exit. */
  drop(): Promise<unknown> {
    const { now } = this;
    this.now = null;
    if (now && now.startedToken !== null)
      return now.process.kill(`began token ${now.startedToken}, which is over already`);
    now?.process.unprepare(this.lock);
    return Promise.resolve();
  }

  /** The tenure `token` begins in this process: what is known of it already. */
  take(process: ListenerProcess, token: number): EarlyNews {
    const { now } = this;
    this.now = null;
    if (now?.process === process && now.startedToken === token) return now;
    return { consuming: false, firstMessageAt: null };
  }

  noteReady(process: ListenerProcess): void {
    if (this.now?.process === process) this.now.ready = true;
  }

  /** `false`: it was not expected here. */
  noteStarted(process: ListenerProcess, token: number): boolean {
    if (this.now?.process !== process) return false;
    this.now.startedToken = token;
    return true;
  }

  noteConsuming(process: ListenerProcess, token: number): void {
    const now = this.startedIn(process, token);
    if (now) now.consuming = true;
  }

  noteFirstMessage(process: ListenerProcess, token: number, at: number): void {
    const now = this.startedIn(process, token);
    if (now) now.firstMessageAt = at;
  }

  noteExit(process: ListenerProcess): void {
    if (this.now?.process === process) this.now = null;
  }

  private startedIn(process: ListenerProcess, token: number): Prepared | null {
    return this.now?.process === process && this.now.startedToken === token ? this.now : null;
  }

  private send(): void {
    if (!this.now) return;
    const { process, offerId, leaseId, afterToken, deadlineNs, trace } = this.now;
    const place = { lock: this.lock, offered: offerId !== null };
    const expectation = { ...place, leaseId, afterToken, deadlineNs, marginMs: this.marginMs };
    process.prepare({ ...expectation, ...(trace && { trace }) });
  }
}
