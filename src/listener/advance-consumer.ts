import type { Channel, ConsumeMessage } from 'amqplib';
import { ClockDrift } from './clock-drift';
import type { HolderReader } from './guard';

export interface AdvanceConsumerOptions {
  reader: HolderReader;
  /** This pod's lease: a tenure on it is this pod's. */
  leaseId: string;
  /** Tenures up to this token are of the past. */
  afterToken: number;
  deadlineNs: bigint;
  marginMs: number;
  /** Once: a read, begun at `readBeganNs`, showed this pod as holder under `token`. */
  onHolder: (token: number, readBeganNs: bigint) => void;
}

/** A message that came before its tenure. */
export interface Held {
  message: ConsumeMessage;
  channel: Channel;
  receivedNs: bigint;
}

const minReadSpacingMs = 2;
const maxReadSpacingMs = 25;
/** The longer it has been waiting, the less a moment more matters. */
const spacingPerElapsed = 1 / 200;
const maxReadsInFlight = 64;

/**
 * Holds messages for a tenure that is about to begin, and asks etcd at short intervals who is holder. A read that
 * is on its way when the hand-over commits already shows it, and verifies every message received before it
 * began. That makes the new tenure start after one way from the holder to etcd and one from there to here.
 */
export class AdvanceConsumer {
  private messages: Held[] = [];
  private passOn: ((message: ConsumeMessage, channel: Channel) => void) | null = null;
  private readonly drift: ClockDrift;
  private readonly beganMs = performance.now();
  private deadlineNs: bigint;
  private readsInFlight = 0;
  private timer: NodeJS.Timeout | null = null;
  private stopped = false;

  constructor(private readonly options: AdvanceConsumerOptions) {
    this.deadlineNs = options.deadlineNs;
    this.drift = new ClockDrift(options.marginMs / 2);
  }

  get deadline(): bigint {
    return this.deadlineNs;
  }

  /** What comes from now on is for the tenure that has begun: its drain returns what it cannot start, however late. */
  handTo(accept: (message: ConsumeMessage, channel: Channel) => void): readonly Held[] {
    this.passOn = accept;
    return this.messages;
  }

  readonly hold = (message: ConsumeMessage, channel: Channel): void => {
    if (this.passOn) return this.passOn(message, channel);
    this.messages.push({ message, channel, receivedNs: process.hrtime.bigint() });
    if (this.messages.length === 1 && this.timer) this.askSoon();
  };

  /** The broker has taken back what was delivered on a channel that is gone. */
  forget(): void {
    this.messages = [];
  }

  isFor(leaseId: string, afterToken: number): boolean {
    return this.options.leaseId === leaseId && this.options.afterToken === afterToken;
  }

  extend(deadlineNs: bigint): void {
    if (deadlineNs <= this.deadlineNs) return;
    this.deadlineNs = deadlineNs;
    this.drift.rebase();
  }

  /** Begins no more reads; one that is on its way may still find the holder. */
  askNoMore(): void {
    if (this.timer) clearTimeout(this.timer);
    this.timer = null;
  }

  /** Nothing is found any more. Idempotent. */
  stop(): void {
    this.stopped = true;
    this.askNoMore();
  }

  /**
   * Asks, again and again until `askNoMore`: rarely while nothing is held, because a read verifies only what came before it,
   * and costs the processor that the broker needs to bring it. To be called once.
   */
  ask(): void {
    if (this.readsInFlight < maxReadsInFlight) void this.read();
    const spacingMs = (performance.now() - this.beganMs) * spacingPerElapsed;
    const leastMs = this.messages.length === 0 ? maxReadSpacingMs : minReadSpacingMs;
    this.timer = setTimeout(() => this.ask(), Math.min(maxReadSpacingMs, Math.max(leastMs, spacingMs)));
  }

  /** After whatever else the broker has just sent. */
  private askSoon(): void {
    this.askNoMore();
    this.timer = setTimeout(() => this.ask(), 0);
  }

  private async read(): Promise<void> {
    const { reader, leaseId, afterToken, onHolder } = this.options;
    this.readsInFlight += 1;
    const beganNs = process.hrtime.bigint();
    // No answer says nothing about the holder.
    const holder = await reader.readHolder().catch(() => null);
    this.readsInFlight -= 1;
    if (this.stopped || holder === null) return;
    if (holder.leaseId !== leaseId || holder.token <= afterToken || !this.isInTime()) return;
    this.stop();
    onHolder(holder.token, beganNs);
  }

  private isInTime(): boolean {
    const nowNs = process.hrtime.bigint();
    return nowNs < this.deadlineNs && !this.drift.exceeded(nowNs);
  }
}
