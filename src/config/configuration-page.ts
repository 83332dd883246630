/**
 * Makes docs/configuration.md: `npm run docs:config`. Names, types, bounds, defaults and environment variables come from
 * the code that checks and completes a configuration; only the meanings are written down, in setting-docs.ts.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import type { Config } from './config';
import { overrides, regionVariables } from './environment';
import { loadConfig } from './load-config';
import { everySetting } from './schema';
import { lockDocs, serviceDocs, type SettingDoc } from './setting-docs';

type Setting = ReturnType<typeof everySetting>[number];

/** Around the parts of the page that are generated. */
const marks = {
  service: '<!-- the settings of the service, generated: npm run docs:config -->',
  lock: '<!-- the settings of a lock, generated: npm run docs:config -->',
  end: '<!-- end of what is generated -->',
};
const lockPrefix = 'locks.<lock>.';

/**
 * The page with its tables made anew; what stands around them stays.
 * @throws Error naming each setting without a meaning, and each meaning without a setting.
 */
export function configurationPage(page: string): string {
  const all = everySetting().filter(({ path }) => !path.startsWith('defaults.'));
  const ofLock = all
    .filter(({ path }) => path.startsWith(lockPrefix))
    .map(({ path, schema }) => ({ path: path.slice(lockPrefix.length), schema }));
  const ofService = all.filter(({ path }) => !path.startsWith(lockPrefix));
  const problems = [...mismatches(ofService, serviceDocs), ...mismatches(ofLock, lockDocs)];
  if (problems.length > 0) throw new Error(problems.join('\n'));

  const config = usualConfig();
  const lock = config.locks[0]!;
  const service = rows(ofService, serviceDocs, config).map((row, index) => [
    ...row,
    variablesOf(ofService[index]!.path).join(', '),
  ]);
  const columns = ['setting', 'type', 'default', 'must be', 'meaning'];
  const withService = withTable(page, marks.service, table([...columns, 'environment'], service));
  return withTable(withService, marks.lock, table(columns, rows(ofLock, lockDocs, lock)));
}

function withTable(page: string, mark: string, made: string): string {
  const begin = page.indexOf(mark);
  const end = page.indexOf(marks.end, begin);
  if (begin === -1 || end === -1) throw new Error(`the page has no "${mark}" with "${marks.end}" after it`);
  return `${page.slice(0, begin + mark.length)}\n\n${made}\n\n${page.slice(end)}`;
}

function mismatches(settings: Setting[], docs: Record<string, SettingDoc>): string[] {
  const paths = settings.map(({ path }) => path);
  return [
    ...paths.filter((path) => docs[path] === undefined).map((path) => `${path} has no meaning`),
    ...Object.keys(docs)
      .filter((path) => !paths.includes(path))
      .map((path) => `${path} has a meaning and is no setting`),
  ].map((problem) => `src/config/setting-docs.ts: ${problem}`);
}

function rows(settings: Setting[], docs: Record<string, SettingDoc>, usual: object): string[][] {
  return settings.map(({ path, schema }) => {
    const doc = docs[path]!;
    const bounds = boundsOf(schema);
    return [
      `\`${path}\``,
      [typeOf(schema), doc.unit ?? unitOf(path)].filter((part) => part !== '').join(', '),
      defaultOf(path, doc, usual),
      [bounds, doc.relation ?? ''].filter((part) => part !== '').join('; '),
      doc.meaning,
    ];
  });
}

const unitOf = (path: string): string => (path.endsWith('Ms') ? 'ms' : path.endsWith('Seconds') ? 's' : '');

function typeOf(schema: z.core.$ZodType): string {
  if (schema instanceof z.ZodEnum) return 'one of';
  if (schema instanceof z.ZodBoolean) return 'true or false';
  if (schema instanceof z.ZodNumber) return schema.format === 'safeint' ? 'whole number' : 'number';
  if (schema instanceof z.ZodString) return 'text';
  if (schema instanceof z.ZodArray) return 'list';
  throw new Error(
    `a setting of a kind that docs/configuration.md has no word for: ${schema.constructor.name}`,
  );
}

/** What the check says of a value that nothing accepts, as every user would read it. */
function boundsOf(schema: z.core.$ZodType): string {
  if (schema instanceof z.ZodBoolean) return '';
  const issue = z.safeParse(schema, Symbol('never right')).error?.issues[0];
  const rule = /^must be (.*)$/.exec(issue?.message ?? '')?.[1];
  if (rule === undefined) throw new Error(`no rule in: ${issue?.message}`);
  const short = rule
    .replace(/^one of /, '')
    .replace(/^(an?|the) /, '')
    .replace(/^whole number( of milliseconds)?, (from )?/, '');
  return schema instanceof z.ZodNumber
    ? short.replace(/\d{4,}/g, (digits) => Number(digits).toLocaleString('en-US'))
    : short.replace(/[a-z]+:\/\/[^\s,)]+/g, '`$&`');
}

/** The value in a configuration that gives only what must be given. */
function defaultOf(path: string, doc: SettingDoc, usual: object): string {
  const value = path
    .split('.')
    .reduce<unknown>((at, part) => (at as Record<string, unknown> | null | undefined)?.[part], usual);
  const shown =
    typeof value === 'number'
      ? path.endsWith('port')
        ? String(value)
        : value.toLocaleString('en-US')
      : typeof value === 'boolean' || typeof value === 'string'
        ? `\`${value}\``
        : 'none';
  if (doc.default === undefined) return shown;
  return typeof value === 'number' ? `${shown} (${doc.default})` : doc.default;
}

function variablesOf(path: string): string[] {
  const found = overrides
    .filter((override) => override.path.join('.') === path)
    // The last one wins.
    .toReversed()
    .map(({ variable, secret }) => shownVariable(variable, secret));
  const region = regionVariables.find(({ setting }) => path === `regions.<region>.${setting}`);
  if (!region) return found;
  const { common, secret, own } = region;
  const named = shownVariable(`${common}_US_EAST`, secret);
  return own ? [named, `${shownVariable(common, secret)} (this pod's region)`] : [named];
}

const shownVariable = (name: string, secret = false): string =>
  secret ? `\`${name}\` or \`${name}_FILE\`` : `\`${name}\``;

function usualConfig(): Config {
  const folder = mkdtempSync(join(tmpdir(), 'baton-'));
  try {
    const file = join(folder, 'baton.yaml');
    const regions = { 'us-east': {} };
    const etcd = { endpoints: ['http://etcd:2379'] };
    const locks = { orders: { queue: { name: 'orders' }, handler: 'handler.js' } };
    writeFileSync(file, JSON.stringify({ regions, etcd, locks }));
    return loadConfig({ file, env: {}, checkHandlers: false, cwd: folder });
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function table(columns: string[], body: string[][]): string {
  const line = (cells: string[]): string =>
    `| ${cells.map((cell) => cell.replaceAll('|', String.raw`\|`)).join(' | ')} |`;
  return [line(columns), line(columns.map(() => '---')), ...body.map(line)].join('\n');
}
