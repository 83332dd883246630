import { accessSync, constants, statSync } from 'node:fs';
import type { AuditVerdict } from '../audit/audit-verifier';
import { maskSecrets } from '../config/secret';
import {
  CommandError,
  type CommandSpec,
  configOption,
  jsonOption,
  type Options,
  runParsed,
  UsageError,
} from './command-line';

const spec = {
  name: 'audit verify',
  summary: 'find a changed or missing entry in an audit record',
  argument: {
    value: 'FILE',
    help: 'the record, as audit.file names it, or the address of its database (default: audit.postgresUrl)',
    optional: true,
  },
  options: {
    head: { value: 'HASH', help: 'that an earlier check has printed: an entry with it must still be there' },
    ...configOption,
    ...jsonOption,
  },
  notes:
    'Exit code 0 when every entry holds the hash of the one before, 1 when not, with its line or row.\n' +
    'Only the head, noted elsewhere, shows that entries were taken off the end, or that all was written anew.',
} as const satisfies CommandSpec;

export async function run([verb, ...argv]: string[]): Promise<number> {
  if (verb === 'schema') return printSchema(argv);
  if (verb !== 'verify' && verb !== '--help' && verb !== '-h')
    throw new UsageError(
      `baton audit ${verb ?? ''} is not a command; there are baton audit verify FILE and baton audit schema`,
    );
  return runParsed(spec, verb === 'verify' ? argv : ['--help'], work);
}

async function work(options: Options<typeof spec>): Promise<number> {
  const { argument = '', head, json } = options;
  if (head !== undefined && !/^[\da-f]{64}$/.test(head))
    throw new UsageError(`--head is ${head}: must be 64 hexadecimal digits`);
  const record = argument === '' ? await configuredRecord(options.config) : argument;
  const isTable = /^postgres(ql)?:\/\//.test(record);
  const verdict = isTable ? await verifyTable(record, head) : await verifyFile(record, head);
  const name = isTable ? `baton_audit in ${maskSecrets(record)}` : record;
  if (json) console.log(JSON.stringify(verdict));
  else if (verdict.problem !== null) console.log(`${name}: ${verdict.problem}`);
  else console.log(`${name}: ${wholeText(verdict, isTable ? 'row' : 'line')}\nhead ${verdict.head}`);
  return verdict.problem === null ? 0 : 1;
}

const schemaSpec = {
  name: 'audit schema',
  summary: 'print the SQL of the table baton_audit, for pods that may only INSERT and SELECT there',
  options: {},
} as const satisfies CommandSpec;

const printSchema = (argv: string[]): Promise<number> =>
  runParsed(schemaSpec, argv, async () => {
    const { auditTable } = await import('../audit/audit-table.js');
    console.log(auditTable.trim());
    return 0;
  });

async function configuredRecord(file: string | undefined): Promise<string> {
  const { loadConfig } = await import('../config/load-config.js');
  const { audit } = loadConfig({
    ...(file !== undefined && { file }),
    env: process.env,
    checkHandlers: false,
    cwd: process.cwd(),
  });
  if (audit?.postgresUrl === undefined)
    throw new UsageError('FILE must be given, as the configuration has no audit.postgresUrl');
  return audit.postgresUrl;
}

async function verifyFile(file: string, head?: string): Promise<AuditVerdict> {
  try {
    accessSync(file, constants.R_OK);
    if (statSync(file).isDirectory()) throw new Error('it is a folder');
  } catch (error) {
    throw new UsageError(`FILE is ${file}: must be a readable file: ${(error as Error).message}`);
  }
  const { verifyAudit } = await import('../audit/audit-verifier.js');
  return verifyAudit(file, head);
}

async function verifyTable(url: string, head?: string): Promise<AuditVerdict> {
  const [{ auditRows, openAuditClient }, { verifyEntries }] = await Promise.all([
    import('../audit/audit-table.js'),
    import('../audit/audit-verifier.js'),
  ]);
  const client = openAuditClient(url);
  // What it says is told by the query that fails of it.
  client.on('error', () => undefined);
  try {
    await client.connect();
    return await verifyEntries(auditRows(client), head, 'row');
  } catch (error) {
    throw new CommandError(`the table baton_audit cannot be read: ${(error as Error).message}`, {
      cause: error,
    });
  } finally {
    await client.end().catch(() => undefined);
  }
}

function wholeText({ lines, cutOff, last }: AuditVerdict, line: string): string {
  const crashes = cutOff.length === 0 ? '' : `; cut off by a crash: ${line} ${cutOff.join(', ')}`;
  const many = lines === 1 ? `1 ${line} is` : `${lines} ${line}s are`;
  return `${many} whole, the last one of ${last?.at ?? 'never'}${crashes}`;
}
