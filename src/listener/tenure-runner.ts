import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { LockSettings } from '../config/config';
import type { ChangeAnswer, HolderChange, LockStore } from '../pod/lock-store';
import { AdvanceConsumer } from './advance-consumer';
import type { AmqpConsumer } from './amqp-consumer';
import type { AttemptRecord } from './attempt-count';
import { Guard, type HolderReader, type Over } from './guard';
import type { Handler } from './handler';
import type { LockMetrics } from './message-metrics';
import { MessageWorker } from './message-worker';
import {
  type AgentMessage,
  type DrainReport,
  figuresOf,
  type ListenerMessage,
  type ListenerStats,
} from './protocol';

export interface TenureRunnerOptions {
  settings: LockSettings;
  region: string;
  pod: string;
  consumer: AmqpConsumer;
  handler: Handler;
  reader: HolderReader;
  attempts: AttemptRecord;
  /** For a hand-over that the agent has prepared, and to see one that another pod makes. */
  store: Pick<LockStore, 'changeHolder' | 'rehearse' | 'watch'>;
  metrics: LockMetrics;
  logger: Logger;
  send: (message: ListenerMessage) => void;
}

/**
 * - `consuming`: it should consume, and does whenever the broker lets it.
 * - `draining`: nothing starts any more; what is in flight ends.
 * - `drained`: idle, may be resumed under the same token, or ended by the next start.
 * - `over`: lost or past its deadline. Final; the agent kills the process.
 */
type TenureState = 'consuming' | 'draining' | 'drained' | 'over';

interface RunningTenure {
  token: number;
  guard: Guard;
  worker: MessageWorker;
  logger: Logger;
  state: TenureState;
}

type Start = Extract<AgentMessage, { kind: 'start' }>;
type Prepare = Extract<AgentMessage, { kind: 'prepare' }>;
type Drain = Extract<AgentMessage, { kind: 'drain' }>;
/** With `readBeganNs`, a read begun then has already shown this tenure as holder. */
type Beginning = Omit<Start, 'kind' | 'lock'> & { readBeganNs?: bigint };

/** After the limit, for handlers that heed their AbortSignal. */
const abortGraceMs = 500;
/** After a drain, for the broker's word that it delivers no more. */
const cancelLimitMs = 1_000;
/** A drain starts messages no longer than this, however long the broker and etcd take to answer. */
const workOffLimitMs = 500;
const consumeRetryMs = 200;

/** The tenures of one lock, one after the other: each with a guard and a worker of its own. */
export class TenureRunner {
  private tenure: RunningTenure | null = null;
  private ahead: AdvanceConsumer | null = null;
  private beginning = false;

  constructor(private readonly options: TenureRunnerOptions) {
    const { consumer, settings, logger, send } = options;
    const lock = settings.name;
    consumer.on('warm', () => {
      logger.info('warm: connected to the broker and idle');
      send({ kind: 'warm', lock });
      // After a reconnect the lock may be somebody else's.
      void this.consume('ask the guard');
      void this.consumeAhead();
    });
    consumer.on('cold', (why) => {
      logger.warn({ reason: why }, 'not ready');
      send({ kind: 'cold', lock, why });
    });
    consumer.on('interrupted', (why, channelLost) => {
      (this.tenure?.logger ?? logger).warn({ reason: why, channelLost }, 'the broker stopped delivering');
      if (channelLost) {
        this.tenure?.worker.dropUnstarted();
        this.ahead?.forget();
        return;
      }
      void this.consume('ask the guard');
      void this.consumeAhead();
    });
  }

  stats(): ListenerStats {
    const { settings, metrics } = this.options;
    const { processed, failed, deadLettered, inFlight, lastFinishedAt } = metrics.counts;
    const token =
      this.tenure?.state === 'consuming' || this.tenure?.state === 'draining' ? this.tenure.token : null;
    return { lock: settings.name, token, processed, failed, deadLettered, inFlight, lastFinishedAt };
  }

  /** Consumes ahead of a tenure that may be about to begin, or goes on doing so with a later deadline. */
  prepare({ offered, leaseId, afterToken, deadlineNs, marginMs }: Prepare): void {
    if (this.tenure && this.tenure.state !== 'over' && this.tenure.token > afterToken) return;
    if (this.ahead?.isFor(leaseId, afterToken)) return this.ahead.extend(deadlineNs);
    this.dropAhead();
    const { reader, store } = this.options;
    const ahead = new AdvanceConsumer({
      reader,
      // What the agent does itself, it tells sooner than a watch that is only being opened.
      watch: offered ? (seen) => store.watch(({ holder }) => holder !== undefined && seen(holder)) : null,
      leaseId,
      afterToken,
      deadlineNs,
      marginMs,
      onHolder: (token, readBeganNs) => {
        if (this.ahead === ahead) {
          // Before the first message, which may start at once: the agent makes nothing of that without a tenure.
          this.send({ kind: 'started', lock: this.lock, token });
          this.begin({ token, leaseId, deadlineNs: ahead.deadline, marginMs, readBeganNs });
        } else if (this.tenure?.token === token) {
          // The agent's order came first; this read was on its way, and verifies what is held.
          this.tenure.guard.noteHeld(readBeganNs);
          this.tenure.worker.pump();
        }
      },
    });
    this.ahead = ahead;
    // The broker takes longest, so it is asked first.
    void this.consumeAhead();
    ahead.begin();
    this.options.logger.info({ afterToken }, 'consuming ahead of a tenure');
  }

  /** The settings have been changed in place. */
  settingsChanged({ prefetch }: { prefetch: boolean }): void {
    if (prefetch) void this.options.consumer.applyPrefetch();
    // More may run at once now.
    this.tenure?.worker.pump();
  }

  unprepare(n: number): void {
    if (!this.ahead) return;
    this.dropAhead();
    this.send({ kind: 'unprepared', lock: this.lock, n });
  }

  /** What is held goes back with the channel. */
  private dropAhead(): void {
    if (!this.ahead) return;
    this.ahead.stop();
    this.ahead = null;
    this.options.logger.info('no longer consuming ahead');
    void this.options.consumer.recycleChannel();
  }

  start({ token, leaseId, deadlineNs, marginMs }: Start): void {
    const { tenure } = this;
    if (tenure?.token === token) {
      // Begun ahead. Whoever starts it now was not listening yet when it ended.
      if (tenure.state === 'over') this.sendHalted(tenure);
      tenure.guard.extend(deadlineNs);
      return;
    }
    if (!tenure || tenure.token < token) this.begin({ token, leaseId, deadlineNs, marginMs });
  }

  private begin(start: Beginning): void {
    const { token, leaseId, deadlineNs, marginMs, readBeganNs } = start;
    const { tenure: former, ahead } = this;
    former?.guard.end();
    ahead?.askNoMore();
    this.ahead = null;
    const logger = this.options.logger.child({ token });
    if (former && former.worker.busy > 0) {
      // Only a new process can make sure that nothing of the former tenure overlaps with this one.
      const why = `${former.worker.busy} messages of the tenure ${former.token} are still in flight`;
      logger.error({ reason: why }, 'tenure refused');
      this.send({ kind: 'halted', lock: this.lock, token, why });
      return;
    }
    const { settings, metrics, reader } = this.options;
    const { verificationMaxAgeMs, abortLeadMs } = settings;
    const guard = new Guard({
      reader,
      token,
      leaseId,
      deadlineNs,
      marginMs,
      verificationMaxAgeMs,
      abortLeadMs,
      // A quarter waits for its read while the other three are on their way.
      ...(readBeganNs === undefined ? {} : { readBeganNs }),
      onAbort: () => {
        logger.warn({ reason: `deadline in ${abortLeadMs} ms` }, 'aborting handlers');
        tenure.worker.abort(`the tenure ends in ${abortLeadMs} ms`);
      },
      onOver: (why) => this.halt(tenure, why),
      onRead: (outcome) => {
        metrics.counts.reads[outcome] += 1;
      },
    });
    const worker = new MessageWorker({
      ...this.options,
      token,
      guard,
      logger,
      onFirstMessage: (startedAt) => this.send({ kind: 'first-message', lock: this.lock, token, startedAt }),
    });
    const tenure: RunningTenure = { token, guard, worker, logger, state: 'consuming' };
    this.tenure = tenure;
    const held = ahead?.handTo((message, channel) => worker.accept(message, channel)) ?? [];
    worker.takeHeld(held);
    logger.info({ held: held.length, ahead: readBeganNs !== undefined }, 'tenure started');
    if (ahead && this.options.consumer.isConsuming) this.send({ kind: 'consuming', lock: this.lock, token });
    else void this.consume('at once');
  }

  extend(token: number, deadlineNs: bigint): void {
    if (this.tenure?.token === token) this.tenure.guard.extend(deadlineNs);
  }

  /** While the messages go on. */
  rehearse(handOver: HolderChange): void {
    // What comes of it does not matter.
    this.options.store.rehearse(handOver).catch(() => {});
  }

  /** Answers `drained`, also for a tenure that does not run here: then without having sent `handOver`. */
  async drain({ token, limitMs, handOver }: Drain): Promise<void> {
    const { consumer, metrics } = this.options;
    const tenure = this.tenure;
    if (!tenure || tenure.token !== token || tenure.state === 'drained' || tenure.state === 'over') {
      const complete = !tenure || tenure.worker.busy === 0;
      this.report(token, this.reportOf({ drained: 0, requeued: 0, complete }));
      return;
    }
    if (tenure.state === 'draining') return;
    const { guard, worker, logger } = tenure;
    const began = performance.now();
    tenure.state = 'draining';
    const { finished, returned } = worker;
    const atFirst = { inFlight: metrics.counts.inFlight, limitMs };
    // Lines wait for whoever takes them, which may be a busy disk: not before the transaction is on its way.
    setImmediate(() => logger.info(atFirst, 'draining'));
    const cancelled = consumer.cancel();
    // What arrives until the broker has heard of it is still worked on, so that little has to go back.
    await Promise.race([worker.workedOff(), pause(Math.min(limitMs, workOffLimitMs))]);
    guard.draining = true;
    const idle = worker.busy === 0;
    // Before anything is returned: a consumer would get it again at once.
    if (!idle) await Promise.race([cancelled, pause(limitMs - (performance.now() - began))]);
    worker.giveBack();
    let complete = await worker.idle(limitMs - (performance.now() - began));
    if (!complete) {
      worker.abort('the drain has run into its limit');
      complete = await worker.idle(abortGraceMs);
    }
    const inFlight = metrics.counts.inFlight;
    if (tenure.state === 'draining') tenure.state = 'drained';
    const counts = { drained: worker.finished - finished, requeued: worker.returned - returned };
    const report = this.reportOf({ ...counts, complete });
    // Once it is over, the agent has something else to do with it.
    if (handOver && complete && tenure.state === 'drained') void this.handOver(token, handOver, report);
    else this.report(token, report);
    const line = { ...counts, complete, inFlight, tookMs: Math.round(performance.now() - began) };
    if (!complete) {
      // With messages in flight the channel stays open: closing would return them while their handlers run.
      logger.error({ ...line, reason: 'limit passed' }, 'drain incomplete');
      return;
    }
    setImmediate(() => logger.info(line, 'drained'));
    // The channel is kept: a channel that closes can lose acknowledgements that the broker has received.
    const heard = await Promise.race([cancelled.then(() => true), pause(cancelLimitMs).then(() => false)]);
    // Resumed meanwhile, it works on what has come since.
    if (this.isConsuming(tenure)) return;
    worker.giveBack();
    if (heard) return;
    logger.error({ reason: 'the broker did not answer' }, 'the channel is closed');
    void consumer.recycleChannel();
  }

  /** After a refused hand-over: consumes again, once the guard has confirmed the tenure. */
  resume(token: number): void {
    const tenure = this.tenure;
    if (!tenure || tenure.token !== token) return;
    if (tenure.state === 'over') this.sendHalted(tenure);
    if (tenure.state !== 'drained') return;
    tenure.state = 'consuming';
    tenure.guard.draining = false;
    tenure.logger.info('resuming');
    // What has come since waits for this; perhaps nothing will come any more that would wake it.
    tenure.worker.pump();
    void this.consume('ask the guard');
  }

  /** After a hand-over: the drained tenure is another pod's now. */
  end(token: number): void {
    if (this.tenure?.token !== token || this.tenure.state !== 'drained') return;
    this.tenure.guard.end();
    this.tenure = null;
  }

  /** For the end of the process. */
  close(): void {
    this.ahead?.stop();
    this.tenure?.guard.end();
  }

  private isConsuming(tenure: RunningTenure): boolean {
    return this.tenure === tenure && tenure.state === 'consuming';
  }

  private get lock(): string {
    return this.options.settings.name;
  }

  private send(message: ListenerMessage): void {
    this.options.send(message);
  }

  private sendHalted({ token, guard }: RunningTenure): void {
    this.send({ kind: 'halted', lock: this.lock, token, why: guard.whyOver ?? 'tenure ended' });
  }

  private reportOf(result: Pick<DrainReport, 'drained' | 'requeued' | 'complete'>): DrainReport {
    const { lastFinishedAt } = this.options.metrics.counts;
    return { ...result, lastFinishedAt, drainedAt: Date.now() };
  }

  private report(token: number, report: DrainReport): void {
    this.send({ kind: 'drained', lock: this.lock, token, ...report });
  }

  /** One attempt. What stays unanswered, the agent settles. */
  private async handOver(token: number, change: HolderChange, report: DrainReport): Promise<void> {
    let handedOver: ChangeAnswer;
    try {
      handedOver = await this.options.store.changeHolder({ ...change, ...figuresOf(report) });
    } catch (error) {
      handedOver = { outcome: 'unknown', why: (error as Error).message };
    }
    this.report(token, { ...report, handedOver });
  }

  /** Like `consume`, for nobody yet. */
  private async consumeAhead(): Promise<void> {
    const { consumer, logger } = this.options;
    const { ahead } = this;
    if (!ahead || !consumer.isWarm || consumer.isConsuming) return;
    try {
      await consumer.consume(ahead.hold);
      if (this.ahead === ahead && consumer.isConsuming) this.send({ kind: 'prepared', lock: this.lock });
    } catch (error) {
      // `warm` calls it again.
      logger.warn({ reason: (error as Error).message }, 'consuming ahead refused by the broker');
    }
  }

  /** Consumes if the present tenure should and does not. Where the broker refuses, `warm` calls it again. */
  private async consume(when: 'at once' | 'ask the guard'): Promise<void> {
    const { consumer } = this.options;
    const tenure = this.tenure;
    if (!tenure || this.beginning) return;
    this.beginning = true;
    const due = (): boolean =>
      this.tenure === tenure && tenure.state === 'consuming' && !consumer.isConsuming;
    try {
      if (when === 'ask the guard' && due()) await tenure.guard.verify();
      while (due() && consumer.isWarm) {
        try {
          await consumer.consume(tenure.worker.accept);
          if (!consumer.isConsuming) throw new Error('cancelled at once');
          tenure.logger.info('consuming');
          this.send({ kind: 'consuming', lock: this.lock, token: tenure.token });
        } catch (error) {
          tenure.logger.warn({ reason: (error as Error).message }, 'consuming refused by the broker');
          await sleep(consumeRetryMs);
          await tenure.guard.verify();
        }
      }
    } finally {
      this.beginning = false;
    }
    // Another tenure, or a new channel, has come while this one was busy.
    if (this.tenure && this.tenure !== tenure) void this.consume('ask the guard');
  }

  /** The guard has found the tenure over. What is in flight goes back with the channel. */
  private halt(tenure: RunningTenure, why: Over): void {
    if (this.tenure !== tenure || tenure.state === 'over') return;
    const idle = tenure.state === 'drained';
    tenure.state = 'over';
    // Handed over, most likely: the channel is ready for another tenure, and nothing is left to stop.
    if (idle) return;
    this.options.metrics.counts.refused += tenure.worker.dropUnstarted();
    tenure.worker.abort(`the tenure is over: ${why}`);
    tenure.logger.error({ reason: why, inFlight: this.options.metrics.counts.inFlight }, 'halted');
    this.send({ kind: 'halted', lock: this.lock, token: tenure.token, why });
    void this.options.consumer.recycleChannel();
  }
}

const pause = (ms: number): Promise<void> => sleep(Math.max(0, ms), undefined, { ref: false });
