import { UsageError } from '../../src/cli/command-line';
import { enduranceHelp, parseEnduranceOptions } from '../../src/endurance/endurance-options';
import { scaleOptions } from '../../src/endurance/scale-main';
import { soakOptions } from '../../src/endurance/soak-main';

test('without arguments the defaults hold', () => {
  expect(parseEnduranceOptions([], soakOptions)).toMatchObject({
    minutes: 60,
    'switch-seconds': 60,
    json: false,
  });
  expect(parseEnduranceOptions([], scaleOptions)).toMatchObject({ locks: 200, ttl: 10, json: false });
});

test('options are read as they are given', () => {
  const argv = ['--minutes', '3', '--json', '--html=soak.html'];
  expect(parseEnduranceOptions(argv, soakOptions)).toMatchObject({
    minutes: 3,
    json: true,
    html: 'soak.html',
  });
});

test.each([
  [['--minutes', '0'], '--minutes is "0": must be a whole number from 1 to 10080'],
  [['--minutes', '1.5'], '--minutes is "1.5": must be a whole number from 1 to 10080'],
  [['--minutes'], '--minutes is "": needs a value'],
  [['--html', '--json'], '--html is "--json": needs a value'],
  [['--json=yes'], '--json is "yes": takes no value'],
  [['--minute', '3'], 'unknown option --minute; did you mean minutes?'],
  [['now'], 'the argument "now" is not expected: only options are'],
])('%j is turned down: %s', (argv, message) => {
  expect(() => parseEnduranceOptions(argv, soakOptions)).toThrow(new UsageError(message));
});

test('help names every option with its default', () => {
  expect(parseEnduranceOptions(['--locks', '3', '--help'], scaleOptions)).toBe('help');
  const text = enduranceHelp('usage', scaleOptions, 'codes');
  for (const name of Object.keys(scaleOptions)) expect(text).toContain(`--${name}`);
  expect(text).toContain('(default 200)');
});
