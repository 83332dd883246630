import { type CommandSpec, parseCommand } from '../../src/cli/command-line';

const spec = {
  name: 'try',
  summary: 'for the test',
  options: {
    to: { value: 'REGION', required: true, help: 'where' },
    lock: { value: 'LOCK', multiple: true, help: 'which' },
    wait: { value: 'SECONDS', whole: { min: 1, max: 60 }, help: 'how long' },
    json: { help: 'flag' },
  },
} as const satisfies CommandSpec;

test('values, flags and repetitions', () => {
  expect(parseCommand(spec, ['--to', 'us-east', '--lock=a', '--lock', 'b', '--json'])).toEqual({
    to: 'us-east',
    lock: ['a', 'b'],
    wait: undefined,
    json: true,
  });
  expect(parseCommand(spec, ['--to', '-1'])).toMatchObject({ to: '-1', lock: [], json: false });
});

test.each([
  [[], '--to REGION must be given (baton try --help)'],
  [['--to'], '--to needs a value: --to REGION'],
  [['--to='], '--to needs a value: --to REGION'],
  [['--to', '--json'], '--to needs a value: --to REGION'],
  [['--to', 'a', '--to', 'b'], '--to was given more than once'],
  [['--to', 'a', '--jsn'], 'unknown option --jsn; did you mean json?'],
  [['--to', 'a', '--json=yes'], '--json takes no value'],
  [['--to', 'a', '--wait', '0'], '--wait is 0: must be a whole number from 1 to 60'],
  [['--to', 'a', '--wait', '1e1'], '--wait is 1e1: must be a whole number from 1 to 60'],
  [['--to', 'a', '--constructor'], 'unknown option --constructor'],
  [['--to', 'a', '-x'], 'unknown option -x'],
  [['--to', 'a', 'b'], 'baton try takes no argument "b"'],
])('%j is refused', (argv, expected) => {
  expect(() => parseCommand(spec, argv)).toThrow(expected);
});

test('help names every option, also beside bad ones', () => {
  const parsed = parseCommand(spec, ['--nonsense', '--help']);
  expect('help' in parsed && parsed.help).toMatch(
    /--to REGION\s+where \(must be given\)\n.*--lock LOCK\s+which; may be repeated/,
  );
});
