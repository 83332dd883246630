import { suggestion } from './closest-name';
import type { PreferenceSettings } from './config';
import type { ConfigProblem } from './config-error';
import type { GivenLock } from './schema';

/** Fills in the defaults of one lock's `preference`. */
export function completePreference({
  order = [],
  never = [],
  failback,
}: NonNullable<GivenLock['preference']>): PreferenceSettings {
  if (failback === undefined) return { order, never, failback: null };
  const { windows = [], timeZone = 'UTC', healthyForMs = 600_000 } = failback;
  return {
    order,
    never,
    failback: {
      windows: windows.map(({ days = [], from, to }) => ({ days, from, to })),
      timeZone,
      healthyForMs,
    },
  };
}

/** Relations between a lock's preference and the regions of the file, and within it. */
export function preferenceProblems(
  prefix: string,
  { order, never, failback }: PreferenceSettings,
  { regions, wrong }: { regions: readonly string[]; wrong: ReadonlySet<string> },
): ConfigProblem[] {
  const problems: ConfigProblem[] = [];
  for (const [name, list] of Object.entries({ order, never }))
    list.forEach((region, index) => {
      const setting = `${prefix}.${name}.${index}`;
      if (regions.length > 0 && !regions.includes(region))
        problems.push({
          setting,
          value: region,
          expected: `is not in the configuration${suggestion(region, regions)}`,
        });
      else if (list.indexOf(region) !== index)
        problems.push({ setting, value: region, expected: 'must stand there once' });
      else if (list === never && order.includes(region))
        problems.push({ setting, value: region, expected: 'must not stand in order as well' });
    });
  if (regions.length > 0 && regions.every((region) => never.includes(region)))
    problems.push({
      setting: `${prefix}.never`,
      value: never.join(', '),
      expected: 'must leave at least one region that may be active',
    });
  if (failback && order.length === 0 && ![...wrong].some((each) => each.startsWith('preference.order')))
    problems.push({
      setting: `${prefix}.order`,
      expected: 'must be given together with failback: the regions to go back to',
    });
  failback?.windows.forEach(({ from, to }, index) => {
    if (from === to)
      problems.push({
        setting: `${prefix}.failback.windows.${index}.to`,
        value: to,
        expected: 'must not be the same as from; without windows any time will do',
      });
  });
  return problems;
}
