import { setTimeout as sleep } from 'node:timers/promises';
import type { Channel, ConsumeMessage } from 'amqplib';
import type { Logger } from 'pino';
import type { LockSettings } from '../config/config';
import type { AmqpConsumer } from './amqp-consumer';
import type { Held } from './advance-consumer';
import { attemptId, countAttempt, redeliveries, type AttemptRecord } from './attempt-count';
import type { Guard } from './guard';
import type { Handler, HandlerContext, Message } from './handler';
import type { LockMetrics } from './message-metrics';

export interface MessageWorkerOptions {
  settings: LockSettings;
  region: string;
  pod: string;
  token: number;
  guard: Guard;
  consumer: Pick<AmqpConsumer, 'ack' | 'requeue' | 'deadLetter' | 'isCurrent'>;
  attempts: AttemptRecord;
  handler: Handler;
  metrics: LockMetrics;
  logger: Logger;
  onFirstMessage: (startedAt: number) => void;
}

interface Work {
  message: ConsumeMessage;
  channel: Channel;
  receivedNs: bigint;
  /** `performance.now()`. */
  startedAt: number;
  /** Real attempts begun, this one included; 0 while uncounted, as a first delivery is. */
  attempts: number;
  controller: AbortController | null;
  aborted: boolean;
}

/** A run of handlers that never wait is interrupted after this time, so that deadlines and pings are read. */
const sliceMs = 10;
/** The first count of a tenure lets the guard's read go before it, for no longer than this: a count is a write, which etcd syncs to disk. */
const firstCountDelayMs = 20;
const firstDeadLetterRetryMs = 200;
const maxDeadLetterRetryMs = 5_000;

/**
 * Works on the messages of one tenure. A first delivery waits for the guard and a slot. Redelivered messages
 * go through a lane of their own, one at a time, each attempt counted before it begins: one of them may be
 * what killed the last process, and a death leaves no other trace.
 */
export class MessageWorker {
  /** Handlers that have returned or thrown. */
  finished = 0;
  /** Messages put back without having been worked on. */
  returned = 0;
  private readonly fresh: Work[] = [];
  /** So many at the head of `fresh` have been seen to be verified. */
  private verified = 0;
  private readonly redelivered: Work[] = [];
  /** The redelivered message that is being counted, waits for a slot, or is worked on. */
  private lane: Work | null = null;
  /** The lane's message, once it may start. */
  private counted: Work | null = null;
  private counting = false;
  private slotsTaken = 0;
  /** After the handler: counted, returned or dead-lettered right now. */
  private settling = 0;
  private readonly running = new Set<Work>();
  private pumping = false;
  private sliceBeganAt = 0;
  /** Shared by the messages that come before the next read begins. */
  private stampNs = 0n;
  private stampedAtRead = -1;
  private yielding = false;
  /** The guard's last verdict asked for, until it is there. */
  private awaited: Promise<unknown> | null = null;
  private anyStarted = false;
  private idleWaiters: (() => void)[] = [];
  private whenWorkedOff: (() => void) | null = null;

  constructor(private readonly options: MessageWorkerOptions) {}

  /** Messages that are somewhere between their start and the broker's knowing of their end. */
  get busy(): number {
    return this.slotsTaken + this.settling + (this.counting ? 1 : 0);
  }

  /** Messages received before the tenure began, in their order. Starts at once what is verified already. */
  takeHeld(held: readonly Held[]): void {
    for (const { message, channel, receivedNs } of held) this.accept(message, channel, receivedNs);
    this.pump();
  }

  readonly accept = (message: ConsumeMessage, channel: Channel, receivedNs = this.stamp()): void => {
    const work: Work = {
      message,
      channel,
      receivedNs,
      startedAt: 0,
      attempts: 0,
      controller: null,
      aborted: false,
    };
    if (redeliveries(message) > 0) {
      this.redelivered.push(work);
      this.pump();
    } else {
      this.fresh.push(work);
      this.askGuard();
    }
  };

  /** Puts back everything that was not started. To be called after the consumer was cancelled. */
  giveBack(): void {
    for (const work of this.takeUnstarted()) this.requeueUnworked(work);
  }

  /** Forgets everything that was not started: the broker has it back, or gets it with the channel's end. */
  dropUnstarted(): number {
    return this.takeUnstarted().length;
  }

  /** Fires the AbortSignal of every handler that runs now. */
  abort(why: string): void {
    for (const work of this.running) {
      work.aborted = true;
      work.controller?.abort(new Error(why));
    }
  }

  /** `true` as soon as nothing is in flight, `false` when the limit has passed. */
  async idle(limitMs: number): Promise<boolean> {
    if (this.busy === 0) return true;
    const idle = new Promise<boolean>((resolve) => this.idleWaiters.push(() => resolve(true)));
    const timer = new AbortController();
    const limit = sleep(Math.max(0, limitMs), false, { signal: timer.signal }).catch(() => false);
    const result = await Promise.race([idle, limit]);
    timer.abort();
    return result;
  }

  /** Resolves at the first moment at which nothing is left to do: none in flight, none waiting. */
  workedOff(): Promise<void> {
    return new Promise((resolve) => {
      this.whenWorkedOff = resolve;
      this.wakeWorkedOff();
    });
  }

  private wakeWorkedOff(): void {
    if (!this.whenWorkedOff || this.busy > 0 || this.counted) return;
    if (this.fresh.length > 0 || this.redelivered.length > 0) return;
    this.whenWorkedOff();
    this.whenWorkedOff = null;
  }

  private takeUnstarted(): Work[] {
    this.verified = 0;
    const works = [...this.fresh.splice(0), ...this.redelivered.splice(0)];
    if (!this.counted) return works;
    works.unshift(this.counted);
    this.abandonLane();
    return works;
  }

  // --- from received to started --------------------------------------------------------------------------

  /**
   * When a message was received, or earlier: no read has begun in between, so that exactly those reads that began
   * after the stamp also began after the message was received.
   */
  private stamp(): bigint {
    const { readsBegun } = this.options.guard;
    if (readsBegun !== this.stampedAtRead) {
      this.stampedAtRead = readsBegun;
      this.stampNs = process.hrtime.bigint();
    }
    return this.stampNs;
  }

  /** All callers before the next read begins share one promise, so this costs no promise per message. */
  private askGuard(): void {
    const verdict = this.options.guard.verify();
    if (verdict === this.awaited) return;
    this.awaited = verdict;
    void verdict.then((result) => {
      if (this.awaited === verdict) this.awaited = null;
      if (result.held) this.noteVerified(result.readBeganNs);
      this.pump();
    });
  }

  private noteVerified(readBeganNs: bigint): void {
    const nowNs = process.hrtime.bigint();
    let stampNs = -1n;
    let seconds = 0;
    for (; this.verified < this.fresh.length; this.verified += 1) {
      const work = this.fresh[this.verified];
      if (!work || work.receivedNs >= readBeganNs) return;
      if (work.receivedNs !== stampNs) {
        stampNs = work.receivedNs;
        seconds = Number(nowNs - stampNs) / 1e9;
      }
      this.options.metrics.guardSeconds.observe(seconds);
    }
  }

  /** Starts what may start. */
  pump(): void {
    if (this.pumping) return;
    this.pumping = true;
    const { guard, consumer, settings } = this.options;
    while (this.slotsTaken < settings.queue.concurrency && !this.yielding) {
      this.fillLane();
      const work = this.counted ?? this.fresh[0];
      if (!work) break;
      const current = consumer.isCurrent(work.channel);
      if (current) {
        const refusal = guard.check(guard.lastReadBeganNs, work.receivedNs);
        if (refusal !== null) {
          // Whoever was received has asked, and the verdict will pump; another read would serve nobody. A deadline that has
          // passed may have been extended in a message not read yet: the verdict of another read tells.
          const isAsked = refusal === 'not verified since it was received' && this.awaited !== null;
          if (!isAsked && !guard.draining && !guard.whyOver) this.askGuard();
          break;
        }
      }
      if (work === this.counted) this.counted = null;
      else this.takeFresh();
      // On a channel that is gone it would be delivered, and worked on, a second time.
      if (!current) {
        if (work === this.lane) this.abandonLane();
        continue;
      }
      this.slotsTaken += 1;
      this.call(work);
    }
    this.pumping = false;
    this.wakeWorkedOff();
  }

  private takeFresh(): void {
    if (this.verified === 0) this.noteVerified(this.options.guard.lastReadBeganNs);
    this.fresh.shift();
    if (this.verified > 0) this.verified -= 1;
  }

  /** Only with a slot free: else it would wait for one, counted, and a death meanwhile would be taken for its own. */
  private fillLane(): void {
    const { guard } = this.options;
    if (this.lane !== null || guard.draining || guard.whyOver) return;
    const work = this.redelivered.shift();
    if (work) void this.countRedelivered(work);
  }

  /** Before its start, and without a slot: others work meanwhile. */
  private async countRedelivered(work: Work): Promise<void> {
    this.lane = work;
    const { guard, settings, attempts, consumer } = this.options;
    const mayGoOn = (): boolean => !guard.draining && !guard.whyOver && consumer.isCurrent(work.channel);
    this.askGuard();
    this.counting = true;
    if (!this.anyStarted) await Promise.race([guard.verify(), sleep(firstCountDelayMs)]);
    const count = await countAttempt(attempts, attemptId(work.message), mayGoOn);
    this.counting = false;
    work.attempts = count ?? 0;
    if (work.attempts > settings.queue.maxDeliveries) {
      const earlier = work.attempts - 1;
      void this.deadLetter(work, earlier, `${earlier} attempts began and none has ended well`);
      this.lane = null;
    } else if (count !== null && mayGoOn()) {
      this.counted = work;
    } else {
      this.abandonLane();
      this.requeueUnworked(work);
    }
    this.wakeIdle();
    this.pump();
  }

  /** The lane's message has not begun. Its count can only be taken back when it was the only one. */
  private abandonLane(): void {
    if (this.lane?.attempts === 1) this.clearAttempts(this.lane);
    this.lane = null;
    this.counted = null;
  }

  /** Calls the handler in this very tick. The slot is taken already. */
  private call(work: Work): void {
    const { handler, metrics, onFirstMessage } = this.options;
    work.startedAt = performance.now();
    if (work.startedAt - this.sliceBeganAt > sliceMs) this.yieldSoon();
    this.running.add(work);
    metrics.counts.inFlight += 1;
    if (!this.anyStarted) {
      this.anyStarted = true;
      const waitedMs = Math.round(Number(process.hrtime.bigint() - work.receivedNs) / 1e6);
      this.log(work).debug({ waitedMs, attempts: work.attempts }, 'first message started');
      onFirstMessage(Date.now());
    }
    let result: Promise<void> | void;
    try {
      result = handler(toMessage(work.message), new WorkContext(this.options, work));
    } catch (error) {
      this.failed(work, error);
      return;
    }
    if (typeof result?.then === 'function')
      result.then(
        () => this.succeeded(work),
        (error: unknown) => this.failed(work, error),
      );
    else this.succeeded(work);
  }

  private yieldSoon(): void {
    if (this.yielding) return;
    this.yielding = true;
    setImmediate(() => {
      this.yielding = false;
      this.sliceBeganAt = performance.now();
      this.pump();
    });
  }

  // --- from ended to settled -----------------------------------------------------------------------------

  private ended(work: Work): void {
    const { counts, handlerSeconds } = this.options.metrics;
    this.running.delete(work);
    this.finished += 1;
    counts.inFlight -= 1;
    counts.lastFinishedAt = Date.now();
    handlerSeconds.observe((performance.now() - work.startedAt) / 1_000);
  }

  private succeeded(work: Work): void {
    this.ended(work);
    this.options.metrics.counts.processed += 1;
    if (!this.options.consumer.ack(work.message, work.channel))
      this.log(work).warn(
        { reason: 'channel lost' },
        'processed, but delivered again: no acknowledgement possible',
      );
    if (work.attempts > 0) this.clearAttempts(work);
    this.freeSlot(work);
  }

  private failed(work: Work, error: unknown): void {
    this.ended(work);
    this.options.metrics.counts.failed += 1;
    const err = error instanceof Error ? error : new Error(String(error));
    void this.settleFailure(work, err);
    this.freeSlot(work);
  }

  private async settleFailure(work: Work, err: Error): Promise<void> {
    const { guard, attempts, consumer, settings } = this.options;
    const { maxDeliveries } = settings.queue;
    this.settling += 1;
    const mayGoOn = (): boolean => !guard.whyOver && consumer.isCurrent(work.channel);
    // The first delivery has not been counted before it began.
    if (work.attempts === 0)
      work.attempts = (await countAttempt(attempts, attemptId(work.message), mayGoOn)) ?? 0;
    const tried = { err, reason: err.message, attempts: work.attempts, maxDeliveries };
    this.log(work).warn(tried, 'handler failed');
    if (work.attempts >= maxDeliveries) await this.deadLetter(work, work.attempts, err.message);
    else consumer.requeue(work.message, work.channel);
    this.settling -= 1;
    this.wakeIdle();
  }

  /** Until the broker has confirmed it, or a drain or the end of the tenure leaves it to the next holder. */
  private async deadLetter(work: Work, attempts: number, reason: string): Promise<void> {
    const { guard, consumer, metrics } = this.options;
    this.settling += 1;
    const headers = { 'x-baton-attempts': attempts, 'x-baton-reason': reason.slice(0, 1_000) };
    let retryMs = firstDeadLetterRetryMs;
    while (!guard.whyOver && consumer.isCurrent(work.channel)) {
      try {
        await consumer.deadLetter(work.message, headers);
        consumer.ack(work.message, work.channel);
        metrics.counts.deadLettered += 1;
        this.clearAttempts(work);
        this.log(work).error({ attempts, reason }, 'message dead-lettered');
        break;
      } catch (error) {
        this.log(work).error(
          { reason: (error as Error).message },
          'dead-lettering failed; will be tried again',
        );
        if (guard.draining) {
          consumer.requeue(work.message, work.channel);
          break;
        }
        await sleep(retryMs);
        retryMs = Math.min(retryMs * 2, maxDeadLetterRetryMs);
      }
    }
    this.settling -= 1;
    this.wakeIdle();
  }

  private requeueUnworked(work: Work): void {
    if (!this.options.consumer.requeue(work.message, work.channel)) return;
    this.returned += 1;
    this.options.metrics.counts.requeued += 1;
  }

  /** Not awaited: a count left behind lapses by itself. */
  private clearAttempts(work: Work): void {
    this.options.attempts.clear(attemptId(work.message)).catch((error: Error) => {
      this.log(work).warn({ reason: error.message }, 'count of attempts could not be cleared');
    });
  }

  private freeSlot(work: Work): void {
    this.slotsTaken -= 1;
    if (this.lane === work) this.lane = null;
    this.wakeIdle();
    this.pump();
  }

  private wakeIdle(): void {
    this.wakeWorkedOff();
    if (this.busy > 0 || this.idleWaiters.length === 0) return;
    for (const wake of this.idleWaiters.splice(0)) wake();
  }

  private log(work: Work): Logger {
    const { messageId } = work.message.properties as { messageId?: string };
    return this.options.logger.child({ messageId, routingKey: work.message.fields.routingKey });
  }
}

/** A class: to make an object with a getter of its own for each message took 3 % of the processor time. */
class WorkContext implements HandlerContext {
  readonly lock: string;
  readonly token: number;
  readonly region: string;
  readonly pod: string;
  readonly logger: Logger;
  readonly redeliveries: number;

  constructor(
    { settings, token, region, pod, logger }: MessageWorkerOptions,
    private readonly work: Work,
  ) {
    this.lock = settings.name;
    this.token = token;
    this.region = region;
    this.pod = pod;
    this.logger = logger;
    this.redeliveries = redeliveries(work.message);
  }

  /** An AbortController only for handlers that look at it, and one for each: listeners cannot pile up on it. */
  get signal(): AbortSignal {
    const { work } = this;
    if (!work.controller) {
      work.controller = new AbortController();
      if (work.aborted) work.controller.abort(new Error('the tenure is ending'));
    }
    return work.controller.signal;
  }
}

function toMessage({ content, properties, fields }: ConsumeMessage): Message {
  return {
    body: content,
    headers: properties.headers ?? {},
    messageId: properties.messageId as string | undefined,
    routingKey: fields.routingKey,
    contentType: properties.contentType as string | undefined,
  };
}
