#!/usr/bin/env node
import { statSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { checkRun } from './check-run';
import { reportText } from './report-text';
import { NoRunError } from './run-folder';

const help = `npm run torture:check -- DIR [--json]: judges a torture run by its folder alone

  DIR      the folder that \`npm run torture -- --keep\` left behind
  --json   the report as one line of JSON, and nothing else

Exit codes: 0 nothing wrong, 1 a guarantee was broken or evidence is missing, 2 bad input.`;

/** Says what is wrong and exits with 2. */
function refuse(problem: string): never {
  process.stderr.write(`${problem}\n`);
  process.exit(2);
}

function readArguments(): { folder: string; json: boolean } {
  const options = { json: { type: 'boolean' }, help: { type: 'boolean', short: 'h' } } as const;
  const { values, positionals } = ((): ReturnType<
    typeof parseArgs<{ options: typeof options; allowPositionals: true }>
  > => {
    try {
      return parseArgs({ options, allowPositionals: true });
    } catch (error) {
      return refuse(`${(error as Error).message}\n\n${help}`);
    }
  })();
  if (values.help) {
    process.stdout.write(`${help}\n`);
    process.exit(0);
  }
  const [folder, ...rest] = positionals;
  if (folder === undefined || rest.length > 0)
    return refuse(`DIR: ${positionals.length} arguments given; expected one folder\n\n${help}`);
  if (!statSync(folder, { throwIfNoEntry: false })?.isDirectory())
    return refuse(`DIR: ${folder} is not a folder; expected the folder of a torture run`);
  return { folder, json: values.json ?? false };
}

async function main(): Promise<void> {
  const { folder, json } = readArguments();
  const report = await checkRun(folder).catch((error: unknown) => {
    if (error instanceof NoRunError) return refuse(`DIR: ${error.message}`);
    throw error;
  });
  process.stdout.write(json ? `${JSON.stringify(report)}\n` : `${reportText(report)}\n`);
  process.exitCode = report.violations.length > 0 ? 1 : 0;
}

void main();
