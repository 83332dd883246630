import { setTimeout as sleep } from 'node:timers/promises';
import type { Figures } from './cost-figures';
import type { CostFleet } from './cost-fleet';
import { regions } from './pod-fleet';

const readyLimitMs = 30_000;
const stopLimitMs = 15_000;

/**
 * From spawning a pod's process until etcd shows it ready and standing for every lock: Node's start, the forked
 * listener's, the connections to etcd, broker and Temporal, and its region workflows' answer. One pod after the
 * other, in the region that does not hold the locks, each ended as a deployment would (SIGTERM).
 */
export async function measureStarts(
  fleet: CostFleet,
  count: number,
  figures: Figures,
  signal: AbortSignal,
): Promise<string[]> {
  const locks = fleet.locks.length;
  const variant = `start of a pod with ${locks} ${locks === 1 ? 'lock' : 'locks'}`;
  // What is asked must not be what slows it down.
  const pollMs = locks > 10 ? 250 : 20;
  const notes: string[] = [];
  for (let i = 1; i <= count; i++) {
    const pod = fleet.addPod(regions[1], `us-west-x${i}`);
    const began = performance.now();
    pod.start();
    let ready = 0;
    while (ready < locks && performance.now() - began < readyLimitMs) {
      await sleep(pollMs, undefined, { signal });
      ready = fleet.readyOf(await fleet.survey(), pod);
    }
    const seconds = (performance.now() - began) / 1000;
    if (ready >= locks) figures.add(variant, 'baton', 's', seconds);
    else notes.push(`${variant}: ready for ${ready} of ${locks} after ${Math.round(seconds)} s; left out.`);
    if (pod.pid !== undefined) process.kill(pod.pid, 'SIGTERM');
    for (const giveUpAt = performance.now() + stopLimitMs; pod.pid !== undefined;) {
      if (performance.now() > giveUpAt) pod.kill();
      await sleep(50, undefined, { signal });
    }
  }
  return notes;
}
