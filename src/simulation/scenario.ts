import type { RegionTimings } from '../../workflows/contract';
import { askForSwitch, faults } from './nemesis';
import type { Site } from './site';
import type { Weakness } from './weakness-names';

/** A life of a kind in which a certain safety line is needed. */
interface Focus {
  /** Out of which faults are chosen. */
  faults: string[];
  /** How many switches are asked for at least. */
  switches: number;
  /** Of the messages, that take long. */
  slowShare: number;
  /** Default: a few. */
  messages?: number;
}

/** What is rare by chance alone. A part of all seeds is like this. */
const focuses: Partial<Record<Weakness, Focus>> = {
  'a change without its read': {
    faults: ['late news of changes'],
    switches: 3,
    slowShare: 0,
    messages: 60,
  },
  'no deadline kill': {
    faults: ['cut pod from etcd', 'cut pod from everything', 'freeze agent'],
    switches: 0,
    slowShare: 0.7,
  },
  'deadline from the answer': { faults: ['stop agent at a keepalive'], switches: 0, slowShare: 0.7 },
  'unconfirmed extension': { faults: ['partition with the old leader'], switches: 0, slowShare: 0.5 },
  'settled by a read': {
    faults: ['late hand-over', 'hand-over whose sender dies'],
    switches: 3,
    slowShare: 0.2,
  },
  'stale instructions obeyed': { faults: ['late instruction'], switches: 3, slowShare: 0.05 },
};
const focusShare = 0.15;

/** Who is there, what is published, what goes wrong, and when. Returns the faults' counts, which grow later. */
export function plan(site: Site, troubleMs: number, weakness: Weakness | null): Record<string, number> {
  const { world, settings, temporal } = site;
  const timings: RegionTimings = {
    beatMs: settings.beatMs,
    drainLimitMs: settings.drainLimitMs,
    historyLimit: settings.historyLimit,
    minSwitchIntervalMs: 0,
    searchAttributes: false,
  };
  for (const region of ['east', 'west']) temporal.startRegion(settings.name, region, timings);
  const names = world.chance(0.25) ? ['east-a', 'east-b', 'west-a'] : ['east-a', 'west-a'];
  for (const name of names) {
    const place = site.addPlace(name, name.slice(0, 4));
    world.after(world.between(0, 150), () => site.boot(place));
  }
  const some = world.chance(focusShare) ? world.pick(Object.values(focuses)) : null;
  const focus = (weakness && focuses[weakness]) ?? some;
  publish(site, troubleMs, focus);
  const counts: Record<string, number> = {};
  const kinds = focus?.faults ?? Object.keys(faults);
  for (let left = focus ? world.whole(1, 2) : world.whole(1, 4); left > 0; left -= 1)
    world.after(world.between(500, troubleMs), () => {
      const kind = world.pick(kinds);
      const what = faults[kind]?.(site);
      world.trace(null, `FAULT ${kind}: ${what}`);
      counts[kind] = (counts[kind] ?? 0) + 1;
    });
  for (let left = world.whole(0, 2) + (focus?.switches ?? 0); left > 0; left -= 1)
    world.after(world.between(500, troubleMs), () => askForSwitch(site));
  return counts;
}

function publish({ world, work, judge, broker }: Site, troubleMs: number, focus: Focus | null): void {
  const messages = focus?.messages ?? world.whole(5, 14);
  const lastMs = world.between(1_000, troubleMs);
  /** Where handlers take long, a tenure's end finds them at work. */
  const slowShare = world.pick([0.02, 0.3]);
  for (let index = 0; index < messages; index += 1) {
    const id = `m${index}`;
    const isLong = world.chance(focus?.slowShare ?? slowShare);
    work.set(id, {
      ms: world.chance(0.15) ? 0 : world.between(1, isLong ? 2_500 : 60),
      throws: world.chance(0.03) ? world.whole(1, 2) : 0,
      blocks: world.chance(0.02),
    });
    world.after(world.between(0, lastMs), () => {
      judge.published.add(id);
      broker.publish(id);
    });
  }
}
