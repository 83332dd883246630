import { ClockDrift } from './clock-drift';

export interface Holder {
  token: number;
  leaseId: string;
}

/** Who was holder (`null`: nobody) at some moment between question and answer, and etcd's revision at that moment. */
export interface HolderReading {
  revision: number;
  holder: Holder | null;
}

/** The guard's question to the lock service. */
export interface HolderReader {
  /** Linearizable. A rejection means that no answer came, nothing else. */
  readHolder(): Promise<HolderReading>;
}

export type Lost = 'another holder' | 'no holder';
/** Why nothing starts any more in this tenure. */
export type Over = Lost | 'deadline passed' | 'machine was suspended' | 'tenure ended';
/** Why a message may not start now; the last three go away with another read. */
export type Refusal = Over | 'draining' | 'not verified since it was received' | 'verification too old';

export type Verdict = { held: true; readBeganNs: bigint } | { held: false; why: Over };

export interface GuardOptions {
  reader: HolderReader;
  token: number;
  leaseId: string;
  deadlineNs: bigint;
  marginMs: number;
  verificationMaxAgeMs: number;
  abortLeadMs: number;
  /** Begin of a read that has already shown this tenure as holder. */
  readBeganNs?: bigint;
  /** Shortly before the deadline, with no extension in sight: running handlers should stop. */
  onAbort: () => void;
  /** Once, when the tenure is over, whatever found it out; not after `end`. */
  onOver: (why: Over) => void;
  onRead?: (outcome: 'held' | 'lost' | 'unknown') => void;
}

const minReadSpacingNs = 2_000_000n;
/** Between two reads while many messages come. */
export const minReadSpacingMs = 2;
/** A read for so many callers lets the next one wait for the spacing also when none is on its way. */
const manyCallers = 4;
const maxReadsInFlight = 64;
const retryPauseMs = 20;

/** Callers that wait for a read which has not begun yet, and the promise that they share. */
interface Waiting {
  callers: number;
  /** Set when its read begins. */
  readBeganNs: bigint | null;
  promise: Promise<Verdict>;
  resolve: (verdict: Verdict) => void;
}

/**
 * Stands before every message of one tenure. `verify` asks etcd, one read for all who wait when it begins;
 * `check` is asked once more in the very tick that calls the handler. It guarantees that nothing passes after
 * the deadline, after a read that shows somebody else or nobody, or on a read begun before the message came.
 */
export class Guard {
  /** Begin of the latest read that showed this tenure as holder. */
  lastReadBeganNs = 0n;
  draining = false;
  private over: Over | null = null;
  private deadlineNs: bigint;
  private readonly maxAgeNs: bigint;
  private readonly abortLeadNs: bigint;
  private readonly drift: ClockDrift;
  /** Oldest first; the last one may still be waiting for its read to begin. */
  private batches: Waiting[] = [];
  private readsInFlight = 0;
  private begun = 0;
  private newestReadBeganNs = 0n;
  /** Of the read that began last. */
  private newestCallers = 0;
  private readScheduled = false;
  private readTimer: NodeJS.Timeout | null = null;
  private deadlineTimer: NodeJS.Timeout | null = null;
  private settling = false;
  private abortedForNs: bigint | null = null;

  constructor(private readonly options: GuardOptions) {
    this.deadlineNs = options.deadlineNs;
    this.lastReadBeganNs = options.readBeganNs ?? 0n;
    this.maxAgeNs = BigInt(Math.round(options.verificationMaxAgeMs * 1e6));
    this.abortLeadNs = BigInt(Math.round(options.abortLeadMs * 1e6));
    this.drift = new ClockDrift(options.marginMs / 2);
    this.armDeadlineTimer();
  }

  get whyOver(): Over | null {
    return this.over;
  }

  /** How many reads have begun: while it stays the same, no read began. */
  get readsBegun(): number {
    return this.begun;
  }

  /** Resolves after a read that began after this call, or when the tenure is over. Never rejects. */
  verify(): Promise<Verdict> {
    if (this.over) return Promise.resolve({ held: false, why: this.over });
    const last = this.batches.at(-1);
    if (last && last.readBeganNs === null) {
      last.callers += 1;
      return last.promise;
    }
    const batch = newBatch();
    this.batches.push(batch);
    this.scheduleRead();
    return batch.promise;
  }

  /** To be asked in the tick that calls the handler. `null` means that it may start. */
  check(readBeganNs: bigint, receivedNs: bigint): Refusal | null {
    if (this.over) return this.over;
    if (this.draining) return 'draining';
    if (this.drift.exceeded(process.hrtime.bigint())) {
      this.finish('machine was suspended');
      return 'machine was suspended';
    }
    // Read after everything else that takes time: what held this process up until now must count.
    const nowNs = process.hrtime.bigint();
    if (nowNs >= this.deadlineNs) {
      this.settleDeadline();
      return 'deadline passed';
    }
    if (readBeganNs <= receivedNs) return 'not verified since it was received';
    if (nowNs - readBeganNs > this.maxAgeNs) return 'verification too old';
    return null;
  }

  /** A confirmed extension. Deadlines only move forward, and not at all once the tenure is over. */
  extend(deadlineNs: bigint): void {
    if (this.over || deadlineNs <= this.deadlineNs) return;
    this.deadlineNs = deadlineNs;
    this.drift.rebase();
  }

  /** The tenure was ended on purpose. Whoever waits is told so. Idempotent. */
  end(): void {
    this.finish('tenure ended');
  }

  private finish(why: Over): void {
    if (this.over) return;
    this.over = why;
    if (this.readTimer) clearTimeout(this.readTimer);
    if (this.deadlineTimer) clearTimeout(this.deadlineTimer);
    const waiting = this.batches;
    this.batches = [];
    for (const batch of waiting) batch.resolve({ held: false, why });
    if (why !== 'tenure ended') this.options.onOver(why);
  }

  // --- reads ---------------------------------------------------------------------------------------------

  /** After the present callback, so that all messages of one network packet share the read. */
  private scheduleRead(): void {
    if (this.readScheduled || this.readTimer) return;
    this.readScheduled = true;
    queueMicrotask(() => {
      this.readScheduled = false;
      this.readIfDue();
    });
  }

  private readIfDue(): void {
    if (this.over || this.batches.at(-1)?.readBeganNs !== null) return;
    if (this.readsInFlight >= maxReadsInFlight) return;
    const spacingNs = process.hrtime.bigint() - this.newestReadBeganNs;
    // Where many messages come, reads one right after the other take the processor from those who bring and handle them.
    const isSoon = this.readsInFlight === 0 && this.newestCallers < manyCallers;
    if (isSoon || spacingNs >= minReadSpacingNs) this.beginRead();
    else this.readLater(minReadSpacingMs - Number(spacingNs) / 1e6);
  }

  private readLater(delayMs: number): void {
    this.readTimer ??= setTimeout(
      () => {
        this.readTimer = null;
        this.readIfDue();
      },
      Math.max(1, Math.ceil(delayMs)),
    );
  }

  private beginRead(): void {
    const batch = this.batches.at(-1);
    if (!batch) return;
    this.readsInFlight += 1;
    this.begun += 1;
    const beganNs = process.hrtime.bigint();
    this.newestReadBeganNs = beganNs;
    this.newestCallers = batch.callers;
    batch.readBeganNs = beganNs;
    this.options.reader.readHolder().then(
      ({ holder }) => this.answered(beganNs, holder),
      // No answer says nothing about the holder: those who wait go on waiting, until the deadline at most.
      () => this.unanswered(beganNs),
    );
  }

  private answered(beganNs: bigint, holder: Holder | null): void {
    this.readsInFlight -= 1;
    const { token, leaseId, onRead } = this.options;
    const held = holder !== null && holder.token === token && holder.leaseId === leaseId;
    onRead?.(held ? 'held' : 'lost');
    if (this.over) return;
    if (!held) {
      this.finish(holder === null ? 'no holder' : 'another holder');
      return;
    }
    this.noteHeld(beganNs);
    this.readIfDue();
  }

  /** A read begun then, perhaps somebody else's, has shown this tenure as holder. */
  noteHeld(beganNs: bigint): void {
    if (this.over) return;
    if (beganNs > this.lastReadBeganNs) this.lastReadBeganNs = beganNs;
    // Also those whose own, earlier read has not answered: this one began after their call, too.
    while (this.batches[0]?.readBeganNs != null && this.batches[0].readBeganNs <= beganNs) {
      this.batches.shift()?.resolve({ held: true, readBeganNs: beganNs });
    }
  }

  private unanswered(beganNs: bigint): void {
    this.readsInFlight -= 1;
    this.options.onRead?.('unknown');
    if (this.over) return;
    const last = this.batches.at(-1);
    // The newest read has failed, so no other will serve its callers: they wait for another one.
    if (last && last.readBeganNs === beganNs) last.readBeganNs = null;
    if (last?.readBeganNs === null) this.readLater(retryPauseMs);
  }

  // --- deadline ------------------------------------------------------------------------------------------

  private armDeadlineTimer(): void {
    const nowNs = process.hrtime.bigint();
    const leadNs = this.abortedForNs === this.deadlineNs ? 0n : this.abortLeadNs;
    const leftMs = Number(this.deadlineNs - leadNs - nowNs) / 1e6;
    this.deadlineTimer = setTimeout(() => this.settleDeadline(), Math.max(0, Math.ceil(leftMs)));
  }

  /**
   * Decides whether the deadline, or the moment to abort, has really come: after a callback that blocked the
   * loop past an old deadline, the message with the new one is still unread. Reading it takes one whole turn
   * of the loop, and the first `setImmediate` can be the end of a turn that polled before the block.
   */
  private settleDeadline(): void {
    if (this.settling || this.over) return;
    this.settling = true;
    if (this.deadlineTimer) clearTimeout(this.deadlineTimer);
    setImmediate(() => setImmediate(() => this.deadlineSettled()));
  }

  private deadlineSettled(): void {
    this.settling = false;
    if (this.over) return;
    const nowNs = process.hrtime.bigint();
    if (nowNs >= this.deadlineNs) {
      this.finish('deadline passed');
      return;
    }
    if (this.drift.exceeded(nowNs)) {
      this.finish('machine was suspended');
      return;
    }
    if (nowNs >= this.deadlineNs - this.abortLeadNs && this.abortedForNs !== this.deadlineNs) {
      this.abortedForNs = this.deadlineNs;
      this.options.onAbort();
    }
    this.armDeadlineTimer();
  }
}

function newBatch(): Waiting {
  let resolve!: (verdict: Verdict) => void;
  const promise = new Promise<Verdict>((done) => {
    resolve = done;
  });
  return { callers: 1, readBeganNs: null, promise, resolve };
}
