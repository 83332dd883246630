import { type BenchResult, resultOf } from './bench';

interface Series {
  variant: string;
  system: string;
  unit: string;
  samples: number[];
}

/** What has been measured so far: one series of samples per variant, system and unit. */
export class Figures {
  private readonly series = new Map<string, Series>();

  add(variant: string, system: string, unit: string, ...samples: number[]): void {
    const key = [variant, system, unit].join('\n');
    const known = this.series.get(key);
    if (known) known.samples.push(...samples);
    else this.series.set(key, { variant, system, unit, samples });
  }

  /** In the order in which the series were begun. A series without a sample is not one. */
  results(): BenchResult[] {
    return [...this.series.values()]
      .filter(({ samples }) => samples.length > 0)
      .map(({ samples, ...of }) => resultOf({ bench: 'cost', ...of }, samples));
  }

  /** The median, `undefined` for what was not measured. */
  median(variant: string, system: string, unit: string): number | undefined {
    return this.results().find(
      (result) => result.variant === variant && result.system === system && result.unit === unit,
    )?.p50;
  }
}

/** Least squares: the fixed part and the part per lock; `null` for fewer than two lock counts. */
export function fitLine(
  points: { locks: number; value: number }[],
): { fixed: number; perLock: number } | null {
  if (new Set(points.map(({ locks }) => locks)).size < 2) return null;
  const mean = (values: number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;
  const [x, y] = [mean(points.map(({ locks }) => locks)), mean(points.map(({ value }) => value))];
  const perLock =
    mean(points.map(({ locks, value }) => (locks - x) * (value - y))) /
    mean(points.map(({ locks }) => (locks - x) ** 2));
  return { fixed: y - perLock * x, perLock };
}
