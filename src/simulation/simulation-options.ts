import { parseArgs } from 'node:util';
import { weaknesses, type Weakness } from './weakness-names';

export interface SimulationOptions {
  from: number;
  seeds: number;
  workers: number;
  weakness: Weakness | null;
  json: boolean;
  trace: boolean;
  /** The file to which failing seeds are added, a JSON list. */
  keep: string | null;
}

/** Bad input: an option, its value, and what is expected. */
export class OptionError extends Error {}

export const usage = `Usage: npm run simulate -- [options]

Runs Baton's keeper, guard, lock protocol, hand-over and region workflow against a simulated clock, etcd, broker and
Temporal. Each seed is one short life of a lock with its faults; the same seed is the same life.

  --seeds N       how many seeds (default 1000)
  --from S        the first one (default 1)
  --workers N     threads (default: one for each processor)
  --weakness W    take a safety line out, to see it missed: ${weaknesses.join(', ')}
  --trace         print everything that happens; for single seeds
  --keep FILE     add the seeds that fail to this JSON list
  --json          one last line with the figures

Exit code: 0 no violation, 1 a violation (with its trace), 2 wrong arguments.`;

/** @throws OptionError */
export function readSimulationOptions(args: string[], processors: number): SimulationOptions | 'help' {
  const text = { type: 'string' as const };
  const flag = { type: 'boolean' as const };
  let values;
  try {
    ({ values } = parseArgs({
      args,
      options: {
        seeds: text,
        from: text,
        workers: text,
        weakness: text,
        keep: text,
        trace: flag,
        json: flag,
        help: { ...flag, short: 'h' },
      },
    }));
  } catch (error) {
    throw new OptionError((error as Error).message);
  }
  if (values.help) return 'help';
  return {
    seeds: whole('--seeds', values.seeds, 1_000, 1e9),
    from: whole('--from', values.from, 1, 2 ** 31),
    workers: whole('--workers', values.workers, Math.max(1, processors), 64),
    weakness: weaknessOf(values.weakness),
    keep: values.keep ?? null,
    trace: values.trace ?? false,
    json: values.json ?? false,
  };
}

function whole(name: string, given: string | undefined, usual: number, max: number): number {
  if (given === undefined) return usual;
  const value = Number(given);
  if (/^\d+$/.test(given) && value >= 1 && value <= max) return value;
  throw new OptionError(`${name} ${JSON.stringify(given)}: expected a whole number from 1 to ${max}`);
}

function weaknessOf(given: string | undefined): Weakness | null {
  if (given === undefined) return null;
  const found = weaknesses.find((weakness) => weakness === given);
  if (found) return found;
  throw new OptionError(`--weakness ${JSON.stringify(given)}: expected one of ${weaknesses.join(', ')}`);
}
