import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { OptionError, readSimulationOptions } from '../../src/simulation/simulation-options';
import type { Weakness } from '../../src/simulation/weakness-names';
import { runSimulation, summaryOf } from './run-simulation';

/** A busy machine takes a multiple of what a seed costs. */
jest.setTimeout(300_000);

test('the same seed is the same life, event by event', async () => {
  const [once, again] = await Promise.all([
    runSimulation('--from', '11', '--seeds', '4', '--workers', '1', '--trace'),
    // Other seeds before it, in the same thread, change nothing.
    runSimulation('--from', '7', '--seeds', '8', '--workers', '1', '--trace'),
  ]);
  const hashes = (text: string): string[] => text.split('\n').filter((line) => line.startsWith('hash '));
  expect(hashes(once.stdout)).toHaveLength(4);
  expect(new Set(hashes(once.stdout)).size).toBe(4);
  expect(hashes(again.stdout).slice(-4)).toEqual(hashes(once.stdout));
});

/** Where to look: each is found within these seeds, and the rules that may find it. */
const found: [Weakness, { from: number; seeds: number; rule: RegExp }][] = [
  ['no guard', { from: 1, seeds: 5, rule: /a read since it was received/ }],
  ['a change without its read', { from: 101, seeds: 100, rule: /a read since it was received/ }],
  ['no deadline kill', { from: 1, seeds: 60, rule: /fail-stop/ }],
  ['deadline from the answer', { from: 1, seeds: 200, rule: /fail-stop|one at a time/ }],
  ['unconfirmed extension', { from: 1, seeds: 100, rule: /fail-stop|one at a time/ }],
  ['hand-over without compares', { from: 1, seeds: 50, rule: /present holder|one at a time/ }],
  ['settled by a read', { from: 1_000_000, seeds: 200, rule: /fail-stop|one at a time/ }],
  ['drain without waiting', { from: 1, seeds: 60, rule: /fail-stop|one at a time/ }],
  ['stale instructions obeyed', { from: 1, seeds: 20, rule: /a stale instruction changes nothing/ }],
];

test.each(found)('%s: the judge misses the safety line', async (weakness, { from, seeds, rule }) => {
  const range = ['--from', String(from), '--seeds', String(seeds)];
  const result = await runSimulation('--weakness', weakness, '--json', ...range);
  expect(result.code).toBe(1);
  const [first] = summaryOf(result).failed;
  expect(first?.violations[0]?.rule).toMatch(rule);
  // The trace ends with what was found.
  expect(result.stdout).toMatch(/VIOLATION of "/);
});

const kept = JSON.parse(readFileSync(join(__dirname, 'regression-seeds.json'), 'utf8')) as { seed: number }[];

test('seeds that once failed pass', async () => {
  for (const { seed } of kept) {
    const result = await runSimulation('--from', String(seed), '--seeds', '1');
    expect([seed, result.code, result.code === 0 ? '' : result.stdout]).toEqual([seed, 0, '']);
  }
});

describe('arguments', () => {
  const read = (...args: string[]): unknown => readSimulationOptions(args, 2);

  test('have usual values', () => {
    expect(read()).toEqual({
      ...{ from: 1, seeds: 1_000, workers: 2, weakness: null, json: false, trace: false, keep: null },
    });
  });

  test.each([
    [['--seeds', '0'], '--seeds "0": expected a whole number from 1 to 1000000000'],
    [['--seeds', 'many'], '--seeds "many": expected a whole number from 1 to 1000000000'],
    [['--from', '-1'], /--from/],
    [['--weakness', 'none'], /--weakness "none": expected one of no guard, /],
    [['--nonsense'], /--nonsense/],
  ])('%j is turned down', (args, message) => {
    expect(() => read(...args)).toThrow(OptionError);
    expect(() => read(...args)).toThrow(message);
  });

  test('end the command with code 2, and nothing is run', async () => {
    const { code, stdout, stderr } = await runSimulation('--seeds', '1e9');
    expect([code, stdout]).toEqual([2, '']);
    expect(stderr).toBe('--seeds "1e9": expected a whole number from 1 to 1000000000\n');
  });
});
