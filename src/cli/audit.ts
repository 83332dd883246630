import { accessSync, constants, statSync } from 'node:fs';
import { type CommandSpec, jsonOption, type Options, runParsed, UsageError } from './command-line';

const spec = {
  name: 'audit verify',
  summary: 'find a changed or missing line in an audit record',
  argument: { value: 'FILE', help: 'the record, as audit.file names it' },
  options: {
    head: { value: 'HASH', help: 'that an earlier check has printed: a line with it must still be there' },
    ...jsonOption,
  },
  notes:
    'Exit code 0 when every line holds the hash of the one before, 1 when not, with the line.\n' +
    'Only the head, noted elsewhere, shows that lines were taken off the end, or that all was written anew.',
} as const satisfies CommandSpec;

export async function run([verb, ...argv]: string[]): Promise<number> {
  if (verb !== 'verify' && verb !== '--help' && verb !== '-h')
    throw new UsageError(`baton audit ${verb ?? ''} is not a command; there is baton audit verify FILE`);
  return runParsed(spec, verb === 'verify' ? argv : ['--help'], work);
}

async function work(options: Options<typeof spec>): Promise<number> {
  const { argument: file = '', head, json } = options;
  if (head !== undefined && !/^[\da-f]{64}$/.test(head))
    throw new UsageError(`--head is ${head}: must be 64 hexadecimal digits`);
  try {
    accessSync(file, constants.R_OK);
    if (statSync(file).isDirectory()) throw new Error('it is a folder');
  } catch (error) {
    throw new UsageError(`FILE is ${file}: must be a readable file: ${(error as Error).message}`);
  }
  const { verifyAudit } = await import('../audit/audit-verifier.js');
  const verdict = await verifyAudit(file, head);
  const { problem, lines, cutOff, last } = verdict;
  if (json) console.log(JSON.stringify(verdict));
  else if (problem !== null) console.log(`${file}: ${problem}`);
  else {
    const crashes = cutOff.length === 0 ? '' : `; cut off by a crash: line ${cutOff.join(', ')}`;
    console.log(
      `${file}: ${lines === 1 ? '1 line is' : `${lines} lines are`} whole, the last one of ${last?.at ?? 'never'}${crashes}`,
    );
    console.log(`head ${verdict.head}`);
  }
  return problem === null ? 0 : 1;
}
