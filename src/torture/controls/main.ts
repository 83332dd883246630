#!/usr/bin/env node
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { startDevStack } from '../../dev/dev-stack';
import { table } from '../../cli/table';
import { reportText } from '../checker/report-text';
import { controls, judgeControl, type Control, type ControlResult } from './controls';

const defaultRounds = 3;
const maxRounds = 100;

const help = `npm run torture:controls [-- OPTION…]: the checker must find what is wrong with systems that are

  --only ID     ${controls.map(({ id }) => id).join(', ')}; may be repeated (default: all)
  --rounds N    faults per control (default: ${defaultRounds})
  --keep        leave the run folders behind, for npm run torture:check
  --verbose     each violation with what happened around it

Exit codes: 0 every control as expected, 1 one was not, or could not run, 2 bad input.`;

interface Options {
  chosen: readonly Control[];
  rounds: number;
  keep: boolean;
  verbose: boolean;
}

/** Says what is wrong and exits with 2. */
function refuse(problem: string): never {
  process.stderr.write(`${problem}\n\n${help}\n`);
  process.exit(2);
}

function readOptions(): Options {
  const options = {
    only: { type: 'string', multiple: true },
    rounds: { type: 'string' },
    keep: { type: 'boolean' },
    verbose: { type: 'boolean' },
    help: { type: 'boolean', short: 'h' },
  } as const;
  const parse = () => parseArgs({ options });
  const { values } = ((): ReturnType<typeof parse> => {
    try {
      return parse();
    } catch (error) {
      return refuse((error as Error).message);
    }
  })();
  if (values.help) {
    process.stdout.write(`${help}\n`);
    process.exit(0);
  }
  const rounds = Number(values.rounds ?? defaultRounds);
  if (!Number.isInteger(rounds) || rounds < 1 || rounds > maxRounds)
    return refuse(`--rounds: ${values.rounds} is not a whole number from 1 to ${maxRounds}`);
  for (const id of values.only ?? [])
    if (!controls.some((control) => control.id === id)) return refuse(`--only: there is no control ${id}`);
  const { only } = values;
  const chosen = only ? controls.filter(({ id }) => only.includes(id)) : controls;
  return { chosen, rounds, keep: values.keep ?? false, verbose: values.verbose ?? false };
}

const say = (line: string): boolean => process.stderr.write(`${line}\n`);

const row = ({ control, report, flagged, asExpected }: ControlResult): string[] => [
  control.system,
  control.switchedOff,
  control.scenario,
  Object.entries(flagged)
    .map(([kind, n]) => `${kind} ${n}`)
    .join(', ') || 'nothing',
  `${report.staleStarts} / ${report.overlaps}`,
  control.expected.join(' or ') || 'nothing',
  asExpected ? 'yes' : 'NO',
];

async function main(): Promise<void> {
  const { chosen, rounds, keep, verbose } = readOptions();
  const folder = mkdtempSync(join(tmpdir(), 'baton-controls-'));
  const stack = await startDevStack({ onProgress: say });
  const results: ControlResult[] = [];
  let failed = 0;
  try {
    for (const control of chosen) {
      say(`${control.system}, ${control.scenario}, ${rounds} times; switched off: ${control.switchedOff}`);
      try {
        const result = await judgeControl(control, stack, folder, rounds);
        results.push(result);
        if (verbose) say(reportText(result.report));
      } catch (error) {
        failed++;
        say(`${control.id} could not run: ${(error as Error).message}`);
      }
    }
  } finally {
    await stack.stop();
    if (keep) say(`the run folders are in ${folder}`);
    else rmSync(folder, { recursive: true, force: true });
  }
  const head = [
    'system',
    'switched off',
    'scenario',
    'flagged',
    'stale starts / overlaps',
    'expected',
    'as expected',
  ];
  process.stdout.write(`${table(head, results.map(row))}\n`);
  process.exitCode = failed > 0 || results.some(({ asExpected }) => !asExpected) ? 1 : 0;
}

void main();
