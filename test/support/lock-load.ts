import { checkLedger, type Verdict } from '../../src/demo/ledger-checker';
import { Publisher } from '../../src/demo/publisher';
import { eventually } from './eventually';
import type { TestSystem } from './test-system';

/** So that a message's number tells its queue. */
const numbersPerLock = 1_000_000;
/** As in the configuration that the test system writes. */
const concurrency = 8;

/** Load on every lock of a test system, and a verdict for each queue by itself. */
export class LockLoad {
  private constructor(
    private readonly system: TestSystem,
    private readonly publishers: Publisher[],
  ) {}

  /** Begins to publish `messagesPerSecond` to each queue; the queues must exist. */
  static async start(system: TestSystem, messagesPerSecond: number): Promise<LockLoad> {
    const publishers = await Promise.all(
      system.locks.map((lock, i) =>
        Publisher.connect(system.servers.rabbitmq, lock, () => {}, i * numbersPerLock),
      ),
    );
    for (const publisher of publishers) publisher.start(messagesPerSecond);
    return new LockLoad(system, publishers);
  }

  /** Of each lock, in their order: its messages, by their numbers, and its lock's receipts. */
  verdicts(): Promise<Verdict[]> {
    const ledger = this.system.ledger();
    return Promise.all(
      this.system.stores.map(async (store, i) =>
        checkLedger({
          published: this.publishers[i]?.published ?? [],
          processes: ledger.map(({ pid, records }) => ({
            pid,
            records: records.filter(({ seq }) => Math.floor(seq / numbersPerLock) === i),
          })),
          receipts: await store.listReceipts(1_000),
          deaths: this.system.deaths,
          concurrency,
        }),
      ),
    );
  }

  /** Stops publishing; returns when every message has been worked on. @throws when some are not. */
  async settle(): Promise<Verdict[]> {
    for (const publisher of this.publishers) publisher.pause();
    await Promise.all(this.publishers.map((publisher) => publisher.settle()));
    return eventually(async () => {
      const verdicts = await this.verdicts();
      const lost = verdicts.flatMap((verdict) => verdict.lost);
      if (lost.length > 0) throw new Error(`not worked on: messages ${lost.slice(0, 20).join(', ')}`);
      return verdicts;
    });
  }

  async stop(): Promise<void> {
    await Promise.all(this.publishers.map((publisher) => publisher.close()));
  }
}
