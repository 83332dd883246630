import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import type { SeedResult } from './run-seed';
import type { SeedOrder } from './seed-worker';

/** Worker threads that run seeds, each with clocks of its own. */
export class SeedPool {
  private readonly workers: Worker[];

  constructor(size: number) {
    // What a seed makes is garbage soon after: with Node's default of 48 MB a seventh of the time goes into collecting it.
    const resourceLimits = { maxYoungGenerationSizeMb: 128 };
    this.workers = Array.from(
      { length: size },
      () => new Worker(join(__dirname, 'seed-worker.js'), { resourceLimits }),
    );
  }

  /** Runs the seeds in parts; `onResults` may say that it has seen enough. */
  async run(
    order: SeedOrder,
    partSize: number,
    onResults: (results: SeedResult[]) => 'enough' | void,
  ): Promise<void> {
    let next = order.from;
    const end = order.from + order.count;
    await Promise.all(
      this.workers.map(async (worker) => {
        while (next < end) {
          const from = next;
          const count = Math.min(partSize, end - from);
          next += count;
          if (onResults(await ask(worker, { ...order, from, count })) === 'enough') next = end;
        }
      }),
    );
  }

  async close(): Promise<void> {
    await Promise.all(this.workers.map((worker) => worker.terminate()));
  }
}

function ask(worker: Worker, order: SeedOrder): Promise<SeedResult[]> {
  return new Promise((resolve, reject) => {
    const settle = (then: () => void): void => {
      worker.off('message', answered);
      worker.off('error', failed);
      then();
    };
    const answered = (results: SeedResult[]): void => settle(() => resolve(results));
    const failed = (error: Error): void => settle(() => reject(error));
    worker.on('message', answered);
    worker.on('error', failed);
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a worker, not a window
    worker.postMessage(order);
  });
}
