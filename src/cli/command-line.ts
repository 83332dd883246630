import { parseArgs } from 'node:util';
import { suggestion } from '../config/closest-name';

/** What was typed cannot be understood. Exit code 2; nothing has been started. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

/** The command was understood and could not be carried out. Exit code 1; the message is for the operator. */
export class CommandError extends Error {
  override readonly name = 'CommandError';
}

export interface OptionSpec {
  /** What stands for the value in the help, as `REGION`. Without it the option is a flag. */
  value?: string;
  multiple?: true;
  required?: true;
  /** Refused when not a whole number in this range. */
  whole?: { min: number; max: number };
  help: string;
}

export interface CommandSpec<O extends Record<string, OptionSpec> = Record<string, OptionSpec>> {
  name: string;
  summary: string;
  /** The one argument without a name, as `REGION`; it must be given unless it is optional. */
  argument?: { value: string; help: string; optional?: true };
  options: O;
  /** Lines below the options. */
  notes?: string;
}

export type OptionValues<O extends Record<string, OptionSpec>> = {
  [K in keyof O]: O[K] extends { value: string }
    ? O[K] extends { multiple: true }
      ? string[]
      : O[K] extends { required: true }
        ? string
        : string | undefined
    : boolean;
};

/** Options that several commands have. */
export const configOption = {
  config: { value: 'FILE', help: 'configuration file (default: BATON_CONFIG, else ./baton.yaml)' },
} as const satisfies Record<string, OptionSpec>;
export const jsonOption = {
  json: { help: 'print one line of JSON' },
} as const satisfies Record<string, OptionSpec>;

type Parsed<O extends Record<string, OptionSpec>> = OptionValues<O> & { argument?: string };
/** What a command's work gets. */
export type Options<S extends Pick<CommandSpec, 'options'>> = Parsed<S['options']>;

/**
 * Runs a command's work with its arguments taken apart; `--help` prints the help instead, and is no failure.
 *
 * @throws UsageError naming the argument, before anything is done.
 */
export async function runParsed<O extends Record<string, OptionSpec>>(
  spec: CommandSpec<O>,
  argv: string[],
  work: (options: Parsed<O>) => Promise<number>,
): Promise<number> {
  const options = parseCommand(spec, argv);
  if (!('help' in options)) return work(options);
  console.log(options.help);
  return 0;
}

/**
 * Takes a command's arguments apart, or gives its help text when that was asked for.
 *
 * @throws UsageError naming the argument.
 */
export function parseCommand<O extends Record<string, OptionSpec>>(
  spec: CommandSpec<O>,
  argv: string[],
): Parsed<O> | { help: string } {
  const names = [...Object.keys(spec.options), 'help'];
  const { values, tokens } = parseArgs({
    args: argv,
    strict: false,
    tokens: true,
    options: {
      help: { type: 'boolean', short: 'h' },
      ...Object.fromEntries(
        Object.entries(spec.options).map(([name, { value, multiple }]) => [
          name,
          {
            type: value === undefined ? ('boolean' as const) : ('string' as const),
            multiple: multiple ?? false,
          },
        ]),
      ),
    },
  });
  if (values.help === true) return { help: helpText(spec) };
  const seen = new Set<string>();
  let argument: string | undefined;
  for (const token of tokens) {
    if (token.kind === 'positional' && spec.argument && argument === undefined && token.value !== '') {
      argument = token.value;
      continue;
    }
    if (token.kind === 'positional')
      throw new UsageError(`baton ${spec.name} takes no argument "${token.value}"`);
    if (token.kind === 'option-terminator') continue;
    const option = spec.options[token.name];
    if (option === undefined || !Object.hasOwn(spec.options, token.name))
      throw new UsageError(`unknown option ${token.rawName}${suggestion(token.name, names)}`);
    checkValue(option, token.rawName, token.value);
    if (seen.has(token.name) && option.multiple !== true)
      throw new UsageError(`${token.rawName} was given more than once`);
    seen.add(token.name);
  }
  const missing = Object.entries(spec.options).filter(([name, { required }]) => required && !seen.has(name));
  if (missing.length > 0)
    throw new UsageError(
      `${missing.map(([name, { value }]) => `--${name} ${value}`).join(' and ')} must be given (baton ${spec.name} --help)`,
    );
  if (spec.argument && argument === undefined && !spec.argument.optional)
    throw new UsageError(`${spec.argument.value} must be given: baton ${spec.name} ${spec.argument.value}`);
  const given = Object.fromEntries(
    Object.entries(spec.options).map(([name, { value, multiple }]) => [
      name,
      values[name] ?? (value === undefined ? false : multiple === true ? [] : undefined),
    ]),
  ) as OptionValues<O>;
  return argument === undefined ? given : { ...given, argument };
}

function checkValue(option: OptionSpec, rawName: string, value: string | undefined): void {
  if (option.value === undefined) {
    if (value !== undefined) throw new UsageError(`${rawName} takes no value`);
    return;
  }
  // "--to --reason x": the next option was taken for nothing at all, or for the value.
  if (value === undefined || value === '' || (value.startsWith('--') && value.length > 2))
    throw new UsageError(`${rawName} needs a value: ${rawName} ${option.value}`);
  if (option.whole === undefined) return;
  const { min, max } = option.whole;
  if (!/^\d+$/.test(value) || Number(value) < min || Number(value) > max)
    throw new UsageError(`${rawName} is ${value}: must be a whole number from ${min} to ${max}`);
}

export function helpText({ name, summary, argument, options, notes }: CommandSpec): string {
  const rows = Object.entries(options).map(([option, { value, multiple, required, help }]) => [
    `  --${option}${value === undefined ? '' : ` ${value}`}`,
    `${help}${multiple === true ? '; may be repeated' : ''}${required === true ? ' (must be given)' : ''}`,
  ]);
  if (argument)
    rows.unshift([`  ${argument.value}`, `${argument.help}${argument.optional ? '' : ' (must be given)'}`]);
  const width = Math.max(...rows.map(([left = '']) => left.length)) + 2;
  const lines = rows.map(([left = '', right = '']) => `${left.padEnd(width)}${right}`);
  const needed = Object.entries(options)
    .filter(([, { required }]) => required)
    .map(([option, { value }]) => ` --${option} ${value}`);
  const shown = argument ? ` ${argument.optional ? `[${argument.value}]` : argument.value}` : '';
  const usage = `usage: baton ${name}${shown}${needed.join('')} [options]`;
  return [
    `baton ${name}: ${summary}`,
    '',
    usage,
    '',
    ...lines,
    ...(notes === undefined ? [] : ['', notes]),
  ].join('\n');
}
