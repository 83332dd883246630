import { healAll } from './nemesis';
import { plan } from './scenario';
import { Site } from './site';
import { weaken } from './weakness';
import type { Weakness } from './weakness-names';
import { World, type Violation } from './world';

export interface SeedResult {
  seed: number;
  /** Of everything that happened, in its order. */
  hash: number;
  events: number;
  /** Simulated ms. */
  simulatedMs: number;
  messages: number;
  starts: number;
  duplicates: number;
  tenures: number;
  switches: number;
  faults: Record<string, number>;
  violations: Violation[];
  /** Empty unless asked for. */
  trace: string[];
}

/** Global ms after the last fault, within which everything must have come to rest. */
const healLimitMs = 90_000;
const lookEveryMs = 100;

/** One short life of a lock with its pods and servers. The same seed gives the same result, whatever ran before. */
export function runSeed(seed: number, weakness: Weakness | null = null, isTraced = false): SeedResult {
  const lines: string[] = [];
  const world = new World(seed, isTraced ? lines : null);
  const restore = weakness && weaken(weakness);
  try {
    const site = new Site(world, 2_000);
    if (weakness === 'hand-over without compares')
      site.alter = ({ success = [], failure = [] }) => ({ success, failure });
    const troubleMs = world.between(1_500, 3_600);
    const counts = plan(site, troubleMs, weakness);
    world.run(() => false, troubleMs);
    healAll(site);
    let isOver = false;
    const look = (): void => {
      isOver = site.judge.isAllDone && site.isAtRest();
      world.after(lookEveryMs, look);
    };
    look();
    if (world.violations.length === 0 && !world.run(() => isOver, troubleMs + healLimitMs)) {
      const left = site.judge.leftOver();
      if (left.length > 0) world.violate('nothing lost', `not processed: ${left.slice(0, 10).join(', ')}`);
      else world.violate('progress after healing', site.describe());
    }
    const { judge } = site;
    return {
      seed,
      hash: world.hash,
      events: world.events,
      simulatedMs: world.now,
      messages: judge.published.size,
      starts: judge.starts,
      duplicates: judge.duplicates,
      tenures: judge.tenures,
      switches: judge.switches,
      faults: counts,
      violations: world.violations,
      trace: lines,
    };
  } finally {
    restore?.();
  }
}
