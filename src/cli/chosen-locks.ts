import type { Config, LockSettings } from '../config/config';
import { suggestion } from '../config/closest-name';
import { UsageError } from './command-line';

/** The locks named by `--lock`, or all. */
export function chosenLocks(config: Config, names: string[]): LockSettings[] {
  const known = config.locks.map(({ name }) => name);
  const unknown = names.find((name) => !known.includes(name));
  if (unknown !== undefined)
    throw new UsageError(`lock ${unknown} is not in the configuration${suggestion(unknown, known)}`);
  return names.length === 0 ? config.locks : config.locks.filter(({ name }) => names.includes(name));
}

/** @throws UsageError for a region that the configuration does not have. */
export function checkRegion(config: Config, option: string, name: string): void {
  const known = config.regions.map((region) => region.name);
  if (!known.includes(name))
    throw new UsageError(
      `${option} is ${name}: there is no such region in the configuration${suggestion(name, known)}`,
    );
}
