import { parseArgs } from 'node:util';
import { UsageError } from '../cli/command-line';
import { suggestion } from '../config/closest-name';

/** A whole number within bounds, a flag, or a path. */
export type OptionSpec =
  | { kind: 'number'; min: number; max: number; default: number; help: string }
  | { kind: 'flag'; help: string }
  | { kind: 'file'; default: string; help: string };

type ValueOf<S extends OptionSpec> = S extends { kind: 'number' }
  ? number
  : S extends { kind: 'flag' }
    ? boolean
    : string;
export type ValuesOf<S extends Record<string, OptionSpec>> = { [K in keyof S]: ValueOf<S[K]> };

/** @throws UsageError: one sentence that names the argument, its value and what was expected. */
export function parseEnduranceOptions<S extends Record<string, OptionSpec>>(
  argv: string[],
  specs: S,
): ValuesOf<S> | 'help' {
  const { tokens } = parseArgs({
    args: argv,
    strict: false,
    allowPositionals: true,
    tokens: true,
    options: {
      help: { type: 'boolean', short: 'h' },
      ...Object.fromEntries(
        Object.entries(specs).map(([name, { kind }]) => [
          name,
          { type: kind === 'flag' ? ('boolean' as const) : ('string' as const) },
        ]),
      ),
    },
  });
  const values: Record<string, number | boolean | string> = Object.fromEntries(
    Object.entries(specs).map(([name, spec]) => [name, spec.kind === 'flag' ? false : spec.default]),
  );
  for (const token of tokens) {
    if (token.kind === 'positional')
      throw new UsageError(`the argument "${token.value}" is not expected: only options are`);
    if (token.kind !== 'option') continue;
    if (token.name === 'help') return 'help';
    const spec = Object.hasOwn(specs, token.name) ? specs[token.name] : undefined;
    if (!spec)
      throw new UsageError(`unknown option ${token.rawName}${suggestion(token.name, Object.keys(specs))}`);
    values[token.name] = valueOf(spec, token.rawName, token.value);
  }
  return values as ValuesOf<S>;
}

function valueOf(spec: OptionSpec, name: string, value: string | undefined): number | boolean | string {
  if (spec.kind === 'flag') {
    if (value !== undefined) throw new UsageError(`${name} is "${value}": takes no value`);
    return true;
  }
  // "--html --json": the next option was taken for the value.
  if (value === undefined || value === '' || (value.startsWith('--') && value.length > 2))
    throw new UsageError(`${name} is "${value ?? ''}": needs a value`);
  if (spec.kind === 'file') return value;
  if (!(/^\d{1,9}$/.test(value) && Number(value) >= spec.min && Number(value) <= spec.max))
    throw new UsageError(`${name} is "${value}": must be a whole number from ${spec.min} to ${spec.max}`);
  return Number(value);
}

/** The text of `--help`. */
export function enduranceHelp(usage: string, specs: Record<string, OptionSpec>, exitCodes: string): string {
  const placeholder = { number: ' N', flag: '', file: ' FILE' };
  const lines = Object.entries(specs).map(([name, spec]) => {
    const standard = spec.kind === 'flag' ? '' : ` (default ${spec.default})`;
    return `  ${`--${name}${placeholder[spec.kind]}`.padEnd(20)} ${spec.help}${standard}`;
  });
  return `${usage}\n\n${lines.join('\n')}\n\nExit codes: ${exitCodes}`;
}
