/** A worker thread that runs seeds. Nothing else may run in it: its clocks and timers are the simulation's. */
import { parentPort } from 'node:worker_threads';
import { installSimulation } from './module-seams';

installSimulation();
// Only now, with the simulated libraries in place.
// oxlint-disable-next-line typescript/no-require-imports
const { runSeed } = require('./run-seed') as typeof import('./run-seed');

export interface SeedOrder {
  from: number;
  count: number;
  weakness: Parameters<typeof runSeed>[1];
  isTraced: boolean;
  /** No more seeds after the first that fails. */
  untilFailure: boolean;
}

parentPort?.on('message', ({ from, count, weakness, isTraced, untilFailure }: SeedOrder) => {
  const results = [];
  for (let seed = from; seed < from + count; seed += 1) {
    const result = runSeed(seed, weakness, isTraced);
    results.push(result);
    if (untilFailure && result.violations.length > 0) break;
  }
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a worker's port, not a window
  parentPort?.postMessage(results);
});
