import { dayLeases, type Reading } from './leak-meters';

/** What is tolerated between the first and the last quarter of a soak. */
export interface LeakRule {
  /** Begins the names of what it is for; the first rule that fits counts. */
  names: string;
  unit: string;
  /** The quarters may differ by so much upwards, and by this share of the first one's median. */
  growth: number;
  share: number;
  /** Nothing may ever be above it. */
  limit?: number;
}

export interface SoakRow {
  name: string;
  unit: string;
  /** Medians of the quarters; the extremes of the whole run. */
  first: number;
  last: number;
  min: number;
  max: number;
  /** How far the last quarter may be above the first. */
  allowed: number;
  limit: number | null;
  leaks: boolean;
}

/**
 * Counts must not grow at all; what the kernel counts may breathe by a few, as connections to servers are renewed.
 * Memory, of processes that collect their garbage often, is flat when it stays within a tenth and 12 MB: heaps are
 * fragmented, and who is active has more. A history may exceed `historyLimit` by what one switch adds.
 */
export function leakRules({ locks, historyLimit }: { locks: number; historyLimit: number }): LeakRule[] {
  const breathing = { share: 0, growth: 3 };
  return [
    { names: 'agent memory', unit: 'MB', share: 0.1, growth: 12 },
    { names: 'listener memory', unit: 'MB', share: 0.1, growth: 12 },
    { names: 'agent ', unit: '', ...breathing },
    { names: 'listener ', unit: '', ...breathing },
    { names: 'longest history', unit: 'events', share: Infinity, growth: 0, limit: historyLimit + 200 },
    // One per lock, and the next half-day's beside it when the soak passes noon or midnight (UTC).
    { names: dayLeases, unit: '', share: 0, growth: locks, limit: 2 * locks },
    { names: '', unit: '', share: 0, growth: 0 },
  ];
}

/** Fewer cannot be split into quarters. */
export const leastReadings = 4;

/** A leak lifts all of them; what is opened for a moment lifts the highest, and what is missing for a moment the lowest. */
const compared = [0.1, 0.5, 0.9];

/** Compares the first and the last quarter of the readings, which are in order of time. */
export function judgeSoak(readings: readonly Reading[], rules: readonly LeakRule[]): SoakRow[] {
  const quarter = Math.floor(readings.length / 4);
  if (readings.length < leastReadings)
    throw new RangeError(
      `${readings.length} readings cannot be judged: at least ${leastReadings} are needed`,
    );
  const names = [...new Set(readings.flatMap(({ values }) => Object.keys(values)))];
  return names.map((name) => {
    const rule = rules.find((each) => name.startsWith(each.names));
    if (!rule) throw new Error(`there is no rule for ${name}`);
    const of = (part: readonly Reading[]): number[] =>
      part.flatMap(({ values }) => (values[name] === undefined ? [] : [values[name]]));
    const all = of(readings);
    const [first, last] = [of(readings.slice(0, quarter)), of(readings.slice(-quarter))];
    const medians = { first: quantile(first, 0.5), last: quantile(last, 0.5) };
    const allowed = Math.max(rule.growth, rule.share * medians.first);
    const max = Math.max(...all);
    // What could not be read in one of the quarters cannot be called flat.
    const grew = compared.every((share) => !(quantile(last, share) - quantile(first, share) <= allowed));
    const leaks = grew || max > (rule.limit ?? Infinity);
    const limit = rule.limit ?? null;
    return { name, unit: rule.unit, ...medians, min: Math.min(...all), max, allowed, limit, leaks };
  });
}

/** Between the two values beside it, in proportion; NaN for none. */
function quantile(values: number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  const at = share * (sorted.length - 1);
  const below = sorted[Math.floor(at)] ?? Number.NaN;
  const above = sorted[Math.ceil(at)] ?? Number.NaN;
  return below + (above - below) * (at - Math.floor(at));
}
