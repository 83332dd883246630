import type { Channel, ConsumeMessage } from 'amqplib';
import type { LockWatch } from '../pod/lock-store';
import { ClockDrift } from './clock-drift';
import type { Holder, HolderReader } from './guard';

export interface AdvanceConsumerOptions {
  reader: HolderReader;
  /**
   * Tells in their order of the holders that etcd commits (`null`: nobody any more), sooner or later or never. Without it
   * only reads will find out.
   */
  watch: ((seen: (holder: Holder | null) => void) => LockWatch) | null;
  /** This pod's lease: a tenure on it is this pod's. */
  leaseId: string;
  /** Tenures up to this token are of the past. */
  afterToken: number;
  deadlineNs: bigint;
  marginMs: number;
  /**
   * Etcd has shown this pod as holder under `token`, at some moment after a read had begun at `readBeganNs`. Again for each
   * read that was still on its way: it verifies more.
   */
  onHolder: (token: number, readBeganNs: bigint) => void;
}

/** A message that came before its tenure. */
export interface Held {
  message: ConsumeMessage;
  channel: Channel;
  receivedNs: bigint;
}

const minReadSpacingMs = 2;
/** With a watch, reads are for the messages that come, and for a watch that fails. */
const watchedReadSpacingMs = 10;
const maxReadSpacingMs = 25;
/** The longer it has been waiting, the less a moment more matters. */
const spacingPerElapsed = 1 / 200;
const maxReadsInFlight = 64;

/**
 * Holds messages for a tenure that is about to begin, asks etcd at short intervals who is holder, and watches for the change.
 * A read that is on its way when the hand-over commits already shows it, and verifies every message received before it
 * began. So does the change itself after a read that came too early to show it: etcd numbers its revisions, and one above
 * the read's was committed after the read had begun. That makes the new tenure start after one way from the holder to etcd
 * and one from there to here.
 */
export class AdvanceConsumer {
  private messages: Held[] = [];
  private passOn: ((message: ConsumeMessage, channel: Channel) => void) | null = null;
  private readonly drift: ClockDrift;
  private readonly beganMs = performance.now();
  private deadlineNs: bigint;
  private readsInFlight = 0;
  /** Until the next read. */
  private timer: NodeJS.Timeout | null = null;
  private immediate: NodeJS.Immediate | null = null;
  private stopped = false;
  private readonly watch: LockWatch | null;
  /** The read that began last, of those that have answered. */
  private latest = { beganNs: -1n, revision: Infinity };
  /** The latest one that the watch has told of, if this pod is holder by it. */
  private change: Holder | null = null;

  constructor(private readonly options: AdvanceConsumerOptions) {
    this.deadlineNs = options.deadlineNs;
    this.drift = new ClockDrift(options.marginMs / 2);
    this.watch = options.watch?.((holder) => this.seen(holder)) ?? null;
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

  /** Begins no more reads; one that is on its way may still find the holder. Idempotent. */
  askNoMore(): void {
    this.watch?.close();
    this.clearTimer();
  }

  /** Nothing is found any more. Idempotent. */
  stop(): void {
    this.stopped = true;
    this.askNoMore();
  }

  /**
   * Asks, again and again until `askNoMore`: rarely while nothing is held, because a read verifies only what came before it,
   * and costs the processor that the broker needs to bring it. With a watch at once, for a revision that the change can
   * be compared with. To be called once.
   */
  begin(): void {
    if (this.watch) this.ask();
    else this.askLater();
  }

  private ask(): void {
    if (this.readsInFlight < maxReadsInFlight) void this.read();
    this.askLater();
  }

  private askLater(): void {
    const spacingMs = (performance.now() - this.beganMs) * spacingPerElapsed;
    const heldMs = this.watch ? watchedReadSpacingMs : minReadSpacingMs;
    const leastMs = this.messages.length === 0 ? maxReadSpacingMs : heldMs;
    this.timer = setTimeout(() => this.ask(), Math.min(maxReadSpacingMs, Math.max(leastMs, spacingMs)));
  }

  /** After whatever else the broker has just sent. */
  private askSoon(): void {
    this.clearTimer();
    this.immediate = setImmediate(() => this.ask());
  }

  private clearTimer(): void {
    if (this.timer) clearTimeout(this.timer);
    if (this.immediate) clearImmediate(this.immediate);
    this.timer = null;
  }

  private async read(): Promise<void> {
    const { reader } = this.options;
    this.readsInFlight += 1;
    const beganNs = process.hrtime.bigint();
    // No answer says nothing about the holder.
    const reading = await reader.readHolder().catch(() => null);
    this.readsInFlight -= 1;
    if (!reading) return;
    const { holder, revision } = reading;
    if (holder && this.isExpected(holder)) return this.find(holder, beganNs);
    if (beganNs < this.latest.beganNs) return;
    this.latest = { beganNs, revision };
    this.findChange();
  }

  private seen(holder: Holder | null): void {
    this.change = holder && this.isExpected(holder) ? holder : null;
    this.findChange();
  }

  /** Only with a read before it: nobody knows how long the watch has kept it back. */
  private findChange(): void {
    const { change, latest } = this;
    if (change && change.token > latest.revision) this.find(change, latest.beganNs);
  }

  private isExpected({ leaseId, token }: Holder): boolean {
    return leaseId === this.options.leaseId && token > this.options.afterToken;
  }

  private find({ token }: Holder, readBeganNs: bigint): void {
    if (this.stopped || !this.isInTime()) return;
    this.askNoMore();
    this.options.onHolder(token, readBeganNs);
  }

  private isInTime(): boolean {
    const nowNs = process.hrtime.bigint();
    return nowNs < this.deadlineNs && !this.drift.exceeded(nowNs);
  }
}
