import { parseArgs } from 'node:util';
import { UsageError } from '../cli/command-line';
import { suggestion } from '../config/closest-name';

export const benchNames = ['switch', 'crash', 'throughput', 'cost'] as const;
export type BenchName = (typeof benchNames)[number];

/** What `--skip` takes: the peers of all benches. */
export const peerNames = ['single active consumer', 'etcd election', 'client-go', 'curator'] as const;

export interface BenchOptions {
  benches: BenchName[];
  quick: boolean;
  rounds: number | undefined;
  skip: string[];
  json: boolean;
  out: string | undefined;
  html: string;
  compare: string | undefined;
  results: string | undefined;
  keep: boolean;
}

export const defaultHtmlFile = 'bench/latest.html';
const maxRounds = 10_000;

export const benchHelp = `npm run bench [-- BENCH… OPTION…]: how long is nobody active, and what does the safety cost?

  BENCH              switch, crash, throughput, cost (default: all four)
  --quick            fewer rounds, the same code
  --rounds N         rounds of each mode (default: 30; with --quick 3 to 5)
  --skip NAME        a peer to be left out: ${peerNames.join(', ')}; may be repeated
  --json             at the end one line of JSON on standard output, everything else on standard error
  --out FILE         save the results with all samples and the conditions as JSON
  --html FILE        where the report goes (default ${defaultHtmlFile})
  --compare FILE     a file of --out: say what became slower or faster since, beyond the noise in both
  --results FILE     a file of --out: report it, and compare it, instead of measuring
  --keep             leave the folder with ledgers and logs behind

Exit codes: 0 done (goals met or not), 1 the bench failed or --compare found something slower, 2 bad input.`;

const spec = {
  quick: { type: 'boolean' },
  rounds: { type: 'string' },
  skip: { type: 'string', multiple: true },
  json: { type: 'boolean' },
  out: { type: 'string' },
  html: { type: 'string' },
  compare: { type: 'string' },
  results: { type: 'string' },
  keep: { type: 'boolean' },
  help: { type: 'boolean', short: 'h' },
} as const;

/** @throws UsageError: one sentence that names the argument, its value and what was expected. */
export function parseBenchOptions(argv: string[]): BenchOptions | { help: string } {
  const { values, positionals, tokens } = parseArgs({
    args: argv,
    strict: false,
    allowPositionals: true,
    tokens: true,
    options: spec,
  });
  for (const token of tokens) {
    if (token.kind !== 'option') continue;
    checkOption(token.name, token.rawName, token.value);
  }
  if (values.help === true) return { help: benchHelp };
  const text = (name: 'out' | 'html' | 'compare' | 'results'): string | undefined =>
    values[name] as string | undefined;
  return {
    benches: positionals.length === 0 ? [...benchNames] : benchesOf(positionals),
    quick: values.quick === true,
    rounds: values.rounds === undefined ? undefined : Number(values.rounds),
    skip: (values.skip ?? []) as string[],
    json: values.json === true,
    out: text('out'),
    html: text('html') ?? defaultHtmlFile,
    compare: text('compare'),
    results: text('results'),
    keep: values.keep === true,
  };
}

function checkOption(name: string, rawName: string, value: string | undefined): void {
  if (!Object.hasOwn(spec, name))
    throw new UsageError(`unknown option ${rawName}${suggestion(name, Object.keys(spec))}`);
  const { type } = spec[name as keyof typeof spec];
  if (type === 'boolean') {
    if (value !== undefined) throw new UsageError(`${rawName} is "${value}": takes no value`);
    return;
  }
  // "--out --json": the next option was taken for the value.
  if (value === undefined || value === '' || (value.startsWith('--') && value.length > 2))
    throw new UsageError(`${rawName} is "${value ?? ''}": needs a value`);
  if (name === 'rounds' && !(/^\d+$/.test(value) && Number(value) >= 1 && Number(value) <= maxRounds))
    throw new UsageError(`${rawName} is "${value}": must be a whole number from 1 to ${maxRounds}`);
  if (name === 'skip' && !(peerNames as readonly string[]).includes(value))
    throw new UsageError(`${rawName} is "${value}": must be one of ${peerNames.join(', ')}`);
}

/** In the order of the list, each once. */
function benchesOf(given: string[]): BenchName[] {
  for (const name of given)
    if (!(benchNames as readonly string[]).includes(name))
      throw new UsageError(`the bench is "${name}": must be one of ${benchNames.join(', ')}`);
  return benchNames.filter((name) => given.includes(name));
}
