import type { DevStack } from '../dev/dev-stack';
import type { ConsumerSystem } from './contender';
import { type BenchEntry, BenchLedger } from './ledger';
import { checkIntegrity, type Integrity } from './ledger-analysis';
import { Load } from './load';
import { pause, waitUntil } from './wait';

const flowLimitMs = 15_000;
const drainLimitMs = 20_000;

/** What was found wrong over all rounds of one system. */
export interface Tally {
  published: number;
  lost: number;
  duplicates: number;
  overlaps: number;
}

/** A system with its own publisher and ledger. */
export class MeasuredSystem {
  readonly ledger: BenchLedger;
  /** Where the present round begins in the ledger. */
  private roundBegan = 0;

  private constructor(
    readonly system: ConsumerSystem,
    readonly load: Load,
  ) {
    this.ledger = new BenchLedger(system.ledgerFile);
  }

  /** Starts the system, then connects the publisher: the queue comes with the system. Stopped when that fails. */
  static async start(system: ConsumerSystem, stack: DevStack): Promise<MeasuredSystem> {
    try {
      await system.start();
      return new MeasuredSystem(system, await Load.connect(stack.rabbitmqUrl, system.queue));
    } catch (error) {
      await system.stop();
      throw error;
    }
  }

  get name(): string {
    return this.system.name;
  }

  /** Publishes at this rate and resolves when `count` messages have come through. */
  async flow(messagesPerSecond: number, count: number, signal: AbortSignal): Promise<void> {
    this.roundBegan = this.ledger.read().length;
    this.load.start(messagesPerSecond);
    const flows = await waitUntil(
      () => this.ledger.read().length >= this.roundBegan + count,
      flowLimitMs,
      signal,
    );
    if (!flows)
      throw new Error(`${this.name} does not consume: ${this.ledger.entries.length} messages so far`);
  }

  /** Of the present round. */
  entries(): BenchEntry[] {
    return this.ledger.read().slice(this.roundBegan);
  }

  /** Of the process that worked last. @throws when none has, in this round. */
  lastProcess(): string {
    const last = this.entries().at(-1);
    if (!last) throw new Error(`${this.name} has worked on nothing in this round`);
    return last.process;
  }

  /** Stops publishing and waits until everything published was worked on, or nothing comes any more. */
  async drain(signal: AbortSignal, limitMs = drainLimitMs): Promise<void> {
    this.load.pause();
    await this.load.settle();
    const { ledger, load } = this;
    const drained = (): boolean => {
      ledger.read();
      return [...load.published].every((seq) => ledger.finished.has(seq));
    };
    await waitUntil(drained, limitMs, signal);
    // A late duplicate would show by then.
    await pause(50, signal);
  }

  /** Of everything so far. */
  integrity(): Integrity {
    return checkIntegrity(this.ledger.read(), this.load.published);
  }

  tally(): Tally {
    const { lost, duplicates, overlaps } = this.integrity();
    return {
      published: this.load.published.size,
      lost: lost.length,
      duplicates: duplicates.length,
      overlaps,
    };
  }

  /** Idempotent. */
  async stop(): Promise<void> {
    await this.load.close();
    await this.system.stop();
    this.ledger.close();
  }
}

/** `single active consumer, near: 0 of 4100 messages lost, 3 twice, 1 pair at the same time`. */
export function tallyText(who: string, { published, lost, duplicates, overlaps }: Tally): string {
  return `${who}: of ${published} messages ${lost} lost, ${duplicates} processed twice, ${overlaps} pairs of two contenders at the same time`;
}
