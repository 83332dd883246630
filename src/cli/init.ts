import { resolve } from 'node:path';
import { missingPrograms, missingText } from '../dev/find-program';
import { neededPrograms } from '../dev/given-servers';
import { languages, starterFiles } from '../starter/starter';
import { alreadyThere, writeStarter } from '../starter/write-starter';
import { CommandError, type CommandSpec, type Options, runParsed, UsageError } from './command-line';

const spec = {
  name: 'init',
  summary: 'write a starter project: configuration, handler, compose file, tests',
  argument: { value: 'DIR', help: 'its folder, made if need be (default: this one)', optional: true },
  options: { language: { value: 'LANGUAGE', help: `${languages.join(' or ')} (default: ts)` } },
  notes: 'Writes over no file: when one of its own is there already, it writes nothing. Exit code 2 then.',
} as const satisfies CommandSpec;

export const run = (argv: string[]): Promise<number> => runParsed(spec, argv, work);

async function work(options: Options<typeof spec>): Promise<number> {
  const { argument: given = '.', language: wanted = 'ts' } = options;
  const language = languages.find((each) => each === wanted);
  if (language === undefined)
    throw new UsageError(`--language is ${wanted}: must be ${languages.join(' or ')}`);
  const folder = resolve(given);
  const files = starterFiles(folder, language);
  const there = alreadyThere(folder, files);
  if (there.length > 0)
    throw new UsageError(`nothing was written: in ${folder} there is already ${there.join(', ')}`);
  try {
    writeStarter(folder, files);
  } catch (error) {
    throw new CommandError(`nothing was written: ${(error as Error).message}`, { cause: error });
  }
  console.log(`wrote to ${folder}:`);
  for (const { path } of files) console.log(`  ${path}`);
  console.log(['', 'next:', ...nextSteps(given).map((step) => `  ${step}`)].join('\n'));
  for (const program of missingPrograms(neededPrograms())) console.log(`\nnpm test: ${missingText(program)}`);
  return 0;
}

const nextSteps = (given: string): string[] => [
  ...(given === '.'
    ? []
    : [`cd ${/^[\w./-]+$/.test(given) ? given : `'${given.replaceAll("'", `'\\''`)}'`}`]),
  'npm install',
  'npm test            # two regions on this machine: a switch, a killed pod, the ledger checked',
  'npm run dev         # both regions on this machine, to try switches and kills; until Ctrl-C',
];
