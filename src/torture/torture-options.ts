import { randomInt } from 'node:crypto';
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { UsageError } from '../cli/command-line';
import { suggestion } from '../config/closest-name';
import { type FaultName, faultNames } from './fault-catalogue';

export interface TortureOptions {
  minutes: number;
  seed: number;
  faults: readonly FaultName[];
  /** What `--faults` was, for the command that repeats a run; `null`: all. */
  given: string | null;
  json: boolean;
  /** Where the run folder stays; without it, it is removed unless something was found. */
  keep: string | undefined;
  rate: number;
}

const maxMinutes = 24 * 60;
const maxSeed = 2 ** 32 - 1;
const maxRate = 2_000;

export const tortureHelp = `npm run torture [-- OPTION…]: break a real Baton at random, and check its promise from the outside

  --minutes N        how long faults are made, 0.1 to ${maxMinutes} (default: 5); starting and checking come on top
  --seed S           a whole number from 0 to ${maxSeed}; the same seed gives the same schedule (default: a random one)
  --faults A,B,C     only these kinds (default: all)
  --rate N           messages per second, 1 to ${maxRate} (default: 200)
  --json             at the end one line of JSON on standard output, everything else on standard error
  --keep DIR         keep the run's folder (ledgers, logs, histories) at DIR, which must not exist or be empty

  kinds of fault     ${wrapped(faultNames, 80).join(`\n${' '.repeat(21)}`)}

Exit codes: 0 no violation, 1 a violation or a run that failed, 2 bad input.`;

const spec = {
  minutes: { type: 'string' },
  seed: { type: 'string' },
  faults: { type: 'string' },
  rate: { type: 'string' },
  keep: { type: 'string' },
  json: { type: 'boolean' },
  help: { type: 'boolean', short: 'h' },
} as const;

/** @throws UsageError: one sentence that names the argument, its value and what was expected. */
export function parseTortureOptions(argv: string[]): TortureOptions | { help: string } {
  const { values, tokens } = parseArgs({
    args: argv,
    strict: false,
    allowPositionals: true,
    tokens: true,
    options: spec,
  });
  const seen = new Set<string>();
  for (const token of tokens) {
    if (token.kind === 'positional') throw new UsageError(`takes no argument "${token.value}"`);
    if (token.kind !== 'option') continue;
    if (!Object.hasOwn(spec, token.name))
      throw new UsageError(`unknown option ${token.rawName}${suggestion(token.name, Object.keys(spec))}`);
    if (seen.has(token.name)) throw new UsageError(`${token.rawName} was given more than once`);
    seen.add(token.name);
    checkValue(token.rawName, spec[token.name as keyof typeof spec].type, token.value);
  }
  if (values.help === true) return { help: tortureHelp };
  const text = (name: 'minutes' | 'seed' | 'faults' | 'rate' | 'keep') => values[name] as string | undefined;
  const keep = text('keep');
  return {
    minutes: numberFrom('--minutes', text('minutes') ?? '5', 0.1, maxMinutes, 'a number of minutes'),
    seed: wholeFrom('--seed', text('seed') ?? String(randomInt(maxSeed)), 0, maxSeed),
    faults: faultsOf(text('faults')),
    given: text('faults') ?? null,
    rate: wholeFrom('--rate', text('rate') ?? '200', 1, maxRate),
    json: values.json === true,
    keep: keep === undefined ? undefined : resolve(keep),
  };
}

function checkValue(rawName: string, type: 'string' | 'boolean', value: string | undefined): void {
  if (type === 'boolean') {
    if (value !== undefined) throw new UsageError(`${rawName} is "${value}": takes no value`);
    return;
  }
  // "--seed --json": the next option was taken for the value.
  if (value === undefined || value === '' || (value.startsWith('--') && value.length > 2))
    throw new UsageError(`${rawName} is "${value ?? ''}": needs a value`);
}

function numberFrom(name: string, text: string, min: number, max: number, what: string): number {
  const value = Number(text);
  if (/^\d+(\.\d+)?$/.test(text) && value >= min && value <= max) return value;
  throw new UsageError(`${name} is "${text}": must be ${what} from ${min} to ${max}`);
}

function wholeFrom(name: string, text: string, min: number, max: number): number {
  if (/^\d+$/.test(text)) return numberFrom(name, text, min, max, 'a whole number');
  throw new UsageError(`${name} is "${text}": must be a whole number from ${min} to ${max}`);
}

/** In the order of the catalogue, each once. */
function faultsOf(text: string | undefined): readonly FaultName[] {
  if (text === undefined) return faultNames;
  const given = text.split(',').map((name) => name.trim());
  for (const name of given)
    if (!(faultNames as string[]).includes(name))
      throw new UsageError(`--faults has "${name}": must be some of ${faultNames.join(', ')}`);
  return faultNames.filter((name) => given.includes(name));
}

function wrapped(names: readonly string[], width: number): string[] {
  const lines = [''];
  for (const name of names) {
    const line = lines.at(-1)!;
    if (line !== '' && line.length + name.length + 2 > width) lines.push(name);
    else lines[lines.length - 1] = line === '' ? name : `${line}, ${name}`;
  }
  return lines;
}
