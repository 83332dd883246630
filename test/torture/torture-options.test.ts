import { UsageError } from '../../src/cli/command-line';
import { faultNames } from '../../src/torture/fault-catalogue';
import { parseTortureOptions } from '../../src/torture/torture-options';

test('options are read, and without them all kinds are made for five minutes from a random seed', () => {
  expect(
    parseTortureOptions(['--minutes', '2.5', '--seed', '7', '--faults', 'pod-kill, net-cut', '--json']),
  ).toMatchObject({ minutes: 2.5, seed: 7, faults: ['pod-kill', 'net-cut'], json: true, rate: 200 });
  const standard = parseTortureOptions([]);
  expect(standard).toMatchObject({ minutes: 5, faults: faultNames, json: false, keep: undefined });
});

test.each([
  [['--faults', 'pod-kil'], /--faults has "pod-kil": must be some of .*pod-kill.*net-cut/],
  [['--faults', 'pod-kill,'], /--faults has ""/],
  [['--minutes', '0'], /--minutes is "0": must be a number of minutes from 0\.1 to 1440/],
  [['--minutes', 'x'], /--minutes is "x"/],
  [['--seed', '-1'], /--seed is "-1"/],
  [['--seed', '1.5'], /--seed is "1\.5": must be a whole number from 0 to 4294967295/],
  [['--seed', '4294967296'], /--seed is "4294967296"/],
  [['--rate', '0'], /--rate is "0"/],
  [['--seed', '--json'], /--seed is "--json": needs a value/],
  [['--seed', '1', '--seed', '2'], /--seed was given more than once/],
  [['--json=yes'], /--json is "yes": takes no value/],
  [['--minute', '1'], /unknown option --minute; did you mean minutes\?/],
  [['5'], /takes no argument "5"/],
])('%j is refused in one sentence', (argv, sentence) => {
  expect(() => parseTortureOptions(argv)).toThrow(UsageError);
  expect(() => parseTortureOptions(argv)).toThrow(sentence);
});
