import { UsageError } from '../../src/cli/command-line';
import { type BenchOptions, parseBenchOptions } from '../../src/bench/bench-options';

const parse = (...argv: string[]): BenchOptions => parseBenchOptions(argv) as BenchOptions;

test('without arguments all benches run, in full', () => {
  expect(parse()).toEqual({
    ...{ benches: ['switch', 'crash', 'throughput', 'cost'], quick: false, rounds: undefined, skip: [] },
    ...{ json: false, out: undefined, html: 'bench/latest.html', compare: undefined },
    ...{ results: undefined, keep: false },
  });
});

test('benches, rounds and skipped peers are taken as given', () => {
  const skipped = ['--skip', 'curator', '--skip', 'etcd election'];
  const options = parse(
    'crash',
    'switch',
    'crash',
    '--quick',
    '--rounds',
    '7',
    ...skipped,
    '--out',
    'x.json',
  );
  expect(options).toMatchObject({
    ...{ benches: ['switch', 'crash'], quick: true, rounds: 7, out: 'x.json' },
    skip: ['curator', 'etcd election'],
  });
});

test.each([
  [['swich'], 'the bench is "swich": must be one of switch, crash, throughput, cost'],
  [['--rounds', '0'], '--rounds is "0": must be a whole number from 1 to 10000'],
  [['--rounds', 'ten'], '--rounds is "ten": must be a whole number from 1 to 10000'],
  [['--rounds=-1'], '--rounds is "-1": must be a whole number from 1 to 10000'],
  [['--out', '--json'], '--out is "--json": needs a value'],
  [['--compare'], '--compare is "": needs a value'],
  [
    ['--skip', 'zookeeper'],
    '--skip is "zookeeper": must be one of single active consumer, etcd election, client-go, curator',
  ],
  [['--quick=yes'], '--quick is "yes": takes no value'],
  [['--qick'], 'unknown option --qick; did you mean quick?'],
])('%j is refused in one sentence', (argv, sentence) => {
  expect(() => parseBenchOptions(argv)).toThrow(new UsageError(sentence));
});

test('the help names every option and the exit codes', () => {
  const { help } = parseBenchOptions(['--help']) as { help: string };
  for (const option of ['quick', 'rounds', 'skip', 'json', 'out', 'html', 'compare', 'results', 'keep'])
    expect(help).toContain(`--${option}`);
  expect(help).toContain('Exit codes: 0');
});
