import type { RegionTimings } from '../../workflows/contract';
import { askForSwitch, faults, healAll } from './nemesis';
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
    const counts = plan(site);
    const troubleMs = world.between(2_500, 5_000);
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

/** Who is there, what is published, what goes wrong, and when. */
function plan(site: Site): Record<string, number> {
  const { world, settings, temporal, judge, broker } = site;
  const timings: RegionTimings = {
    beatMs: settings.beatMs,
    drainLimitMs: settings.drainLimitMs,
    historyLimit: settings.historyLimit,
    minSwitchIntervalMs: 0,
    searchAttributes: false,
  };
  for (const region of ['east', 'west']) temporal.startRegion(settings.name, region, timings);
  const names = world.chance(0.3) ? ['east-a', 'east-b', 'west-a'] : ['east-a', 'west-a'];
  for (const name of names) {
    const place = site.addPlace(name, name.slice(0, 4));
    world.after(world.between(0, 300), () => site.boot(place));
  }
  const messages = world.whole(8, 24);
  const lastMs = world.between(1_500, 4_000);
  /** Where handlers take long, a tenure's end finds them at work. */
  const slowShare = world.pick([0.02, 0.3]);
  for (let index = 0; index < messages; index += 1) {
    const id = `m${index}`;
    const isLong = world.chance(slowShare);
    site.work.set(id, {
      ms: world.chance(0.2) ? 0 : world.between(1, isLong ? 2_500 : 60),
      throws: world.chance(0.03) ? world.whole(1, 2) : 0,
      blocks: world.chance(0.02),
    });
    world.after(world.between(0, lastMs), () => {
      judge.published.add(id);
      broker.publish(id);
    });
  }
  const counts: Record<string, number> = {};
  const kinds = Object.keys(faults);
  for (let left = world.whole(1, 5); left > 0; left -= 1)
    world.after(world.between(500, 3_800), () => {
      const kind = world.pick(kinds);
      const what = faults[kind]?.(site);
      world.trace(null, `FAULT ${kind}: ${what}`);
      counts[kind] = (counts[kind] ?? 0) + 1;
    });
  for (let left = world.whole(0, 2); left > 0; left -= 1)
    world.after(world.between(700, 3_500), () => askForSwitch(site));
  return counts;
}
