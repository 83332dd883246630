import { readFileSync } from 'node:fs';
import path from 'node:path';
import { LineCounter, parseDocument } from 'yaml';
import type { Config, LockSettings, RegionSettings, TlsFiles } from './config';
import { ConfigError, type ConfigProblem } from './config-error';
import { suggestion } from './closest-name';
import { applyEnvironment, isMap, regionVariable } from './environment';
import { checkEncryption } from './encryption-settings';
import { otelProblems } from '../telemetry/otel-environment';
import { completeLock, type LockOrigin, sharedQueueProblems } from './lock-settings';
import { fileSchema, type GivenFile, type GivenLock, namePattern, nameRule, settingNames } from './schema';

export interface ConfigSource {
  /** From `--config`; else BATON_CONFIG, else `baton.yaml` in `cwd`. */
  file?: string;
  env: NodeJS.ProcessEnv;
  /** This pod's region; it must be one of the file's, with a broker. Left out by commands that run no pod. */
  region?: string;
  /** Default true. False for the commands that run no handler. */
  checkHandlers?: boolean;
  cwd: string;
}

/**
 * Reads baton.yaml, puts the environment over it, fills in defaults and checks everything.
 *
 * @throws ConfigError with all problems at once. No message contains a secret.
 */
export function loadConfig({ file, env, region, checkHandlers = true, cwd }: ConfigSource): Config {
  const configFile = path.resolve(cwd, file ?? (env.BATON_CONFIG || 'baton.yaml'));
  const { content, sources, files, problems } = applyEnvironment(readYaml(configFile), env, region);
  const { given, wrong } = checkShape(content, problems);

  const folder = path.dirname(configFile);
  checkEtcd(given, wrong, folder, problems);
  const regions = checkRegions(given, wrong, folder, region, problems).map((each) => ({
    ...each,
    ...defined({ amqpUrlFile: files.get(`regions.${each.name}.amqpUrl`) }),
  }));
  checkTlsFiles('temporal', given.temporal ?? {}, wrong, folder, problems);
  const encryption = checkEncryption(given.temporal?.encryption, wrong, folder, problems);
  if (given.audit && Object.keys(given.audit).length === 0 && !wrongBelow(wrong, 'audit'))
    problems.push({ setting: 'audit', expected: 'must have a file or a postgresUrl' });
  const locks = checkLocks(
    given,
    wrong,
    {
      folder,
      checkHandler: checkHandlers,
      regions: regions.map(({ name }) => name),
    },
    problems,
  );
  if (given.telemetry?.tracing === 'on') problems.push(...otelProblems(env));
  if (problems.length > 0) throw new ConfigError(problems.map((problem) => withSource(problem, sources)));

  const { endpoints = [], ...access } = given.etcd ?? {};
  return {
    regions,
    etcd: {
      endpoints: endpoints.map((endpoint) => endpoint.replace(/\/$/, '')),
      ...defined(access),
      ...tlsFiles(folder, access),
      ...defined({ passwordFile: files.get('etcd.password') }),
    },
    locks,
    temporal: {
      ...defined({ ...given.temporal, encryption }),
      ...tlsFiles(folder, given.temporal ?? {}),
      ...defined({ apiKeyFile: files.get('temporal.apiKey') }),
    },
    health: { host: given.health?.host ?? '0.0.0.0', port: given.health?.port ?? 8080 },
    verifyIntervalMs: given.verifyIntervalMs ?? 30_000,
    ...(given.audit && {
      audit: defined({
        file: resolved(folder, given.audit.file),
        postgresUrl: given.audit.postgresUrl,
      }),
    }),
    ...(given.telemetry?.tracing === 'on' && { telemetry: { tracing: true } }),
    logLevel: given.logLevel ?? 'info',
  };
}

function readYaml(file: string): Record<string, unknown> {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    const why =
      (error as NodeJS.ErrnoException).code === 'ENOENT' ? 'there is no such file' : (error as Error).message;
    throw new ConfigError([
      { setting: '--config', value: file, expected: `must be a readable file: ${why}` },
    ]);
  }
  const lines = new LineCounter();
  const document = parseDocument(text, { prettyErrors: false, lineCounter: lines });
  if (document.errors.length > 0)
    throw new ConfigError(
      document.errors.map(({ code, pos }) => {
        // The parser's own message quotes the text around the error, which can be a secret.
        const { line, col } = lines.linePos(pos[0]);
        return {
          setting: `${file}:${line}:${col}`,
          expected: `must be valid YAML (${code.toLowerCase().replaceAll('_', ' ')})`,
        };
      }),
    );
  let content: unknown;
  try {
    content = document.toJS({ maxAliasCount: 100 });
  } catch (error) {
    throw new ConfigError([{ setting: file, expected: `must be plain YAML: ${(error as Error).message}` }]);
  }
  if (content === null) return {};
  if (isMap(content)) return content;
  throw new ConfigError([{ setting: file, expected: 'must be a map of settings' }]);
}

/**
 * Types, bounds and unknown names. Values found wrong are left out of `given` and named in `wrong`, so that the
 * relations of all others can still be checked.
 */
function checkShape(
  content: Record<string, unknown>,
  problems: ConfigProblem[],
): { given: GivenFile; wrong: Set<string> } {
  const wrong = new Set<string>();
  const parsed = fileSchema.safeParse(content);
  if (parsed.success) return { given: parsed.data, wrong };
  const rest = structuredClone(content);
  for (const issue of parsed.error.issues) {
    if (issue.code === 'unrecognized_keys') {
      for (const key of issue.keys) {
        const setting = [...issue.path, key].join('.');
        // Its value is not shown: it may be a secret under a misspelt name.
        problems.push({ setting, expected: `is not a setting${suggestion(key, settingNames(issue.path))}` });
        removeAt(rest, [...issue.path, key]);
      }
      continue;
    }
    const setting = issue.path.join('.');
    if (wrong.has(setting)) continue;
    wrong.add(setting);
    problems.push({ setting, value: valueAt(content, issue.path) ?? null, expected: issue.message });
    removeAt(rest, issue.path);
  }
  // An element of a list cannot be left out by itself; the whole list then counts as wrong.
  const again = fileSchema.safeParse(rest);
  return { given: again.success ? again.data : {}, wrong };
}

function checkEtcd(given: GivenFile, wrong: Set<string>, folder: string, problems: ConfigProblem[]): void {
  const etcd = given.etcd ?? {};
  if ((etcd.endpoints ?? []).length === 0 && !wrong.has('etcd') && !wrongBelow(wrong, 'etcd.endpoints'))
    problems.push({
      setting: 'etcd.endpoints',
      expected: 'must be given: a list of addresses like http://host:2379',
    });
  const schemes = new Set((etcd.endpoints ?? []).map((endpoint) => new URL(endpoint).protocol));
  if (schemes.size > 1)
    problems.push({
      setting: 'etcd.endpoints',
      value: etcd.endpoints,
      expected: 'must be all http:// or all https://',
    });
  checkTlsFiles('etcd', etcd, wrong, folder, problems);
  if (schemes.has('http:')) noFiles('etcd', etcd, 'http:// endpoints', problems);
  for (const [one, other] of [
    ['username', 'password'],
    ['password', 'username'],
  ] as const)
    if (etcd[one] !== undefined && etcd[other] === undefined && !wrong.has(`etcd.${other}`))
      problems.push({ setting: `etcd.${other}`, expected: `must be given together with ${one}` });
}

type GivenTls = { [K in keyof TlsFiles]?: string | undefined };
const tlsSettings = ['caFile', 'certFile', 'keyFile'] as const;

function checkTlsFiles(
  prefix: string,
  given: GivenTls,
  wrong: Set<string>,
  folder: string,
  problems: ConfigProblem[],
): void {
  for (const name of tlsSettings) {
    const file = given[name];
    const problem = file === undefined ? undefined : whyNotPem(path.resolve(folder, file), name);
    if (problem !== undefined)
      problems.push({ setting: `${prefix}.${name}`, value: file, expected: `must be ${problem}` });
  }
  for (const [one, other] of [
    ['certFile', 'keyFile'],
    ['keyFile', 'certFile'],
  ] as const)
    if (given[one] !== undefined && given[other] === undefined && !wrong.has(`${prefix}.${other}`))
      problems.push({ setting: `${prefix}.${other}`, expected: `must be given together with ${one}` });
}

function noFiles(prefix: string, given: GivenTls, what: string, problems: ConfigProblem[]): void {
  for (const name of tlsSettings)
    if (given[name] !== undefined)
      problems.push({
        setting: `${prefix}.${name}`,
        value: given[name],
        expected: `must not be given for ${what}`,
      });
}

/** A file that is there and is no PEM would be found out only by the first connection. */
function whyNotPem(file: string, name: (typeof tlsSettings)[number]): string | undefined {
  let text: string;
  try {
    text = readFileSync(file, 'latin1');
  } catch (error) {
    return `a readable file: ${(error as Error).message}`;
  }
  const kind = name === 'keyFile' ? /-----BEGIN [A-Z ]*PRIVATE KEY-----/ : /-----BEGIN CERTIFICATE-----/;
  return kind.test(text)
    ? undefined
    : `a PEM file with a ${name === 'keyFile' ? 'private key' : 'certificate'}`;
}

const tlsFiles = (folder: string, given: GivenTls): TlsFiles =>
  defined({
    caFile: resolved(folder, given.caFile),
    certFile: resolved(folder, given.certFile),
    keyFile: resolved(folder, given.keyFile),
  });

function checkRegions(
  given: GivenFile,
  wrong: Set<string>,
  folder: string,
  own: string | undefined,
  problems: ConfigProblem[],
): RegionSettings[] {
  const regions = Object.entries(given.regions ?? {}).map(([name, settings]): RegionSettings => ({
    name,
    amqpUrl: settings?.amqpUrl ?? '',
    ...tlsFiles(folder, settings ?? {}),
    ...defined({ managementUrl: settings?.managementUrl }),
  }));
  if (regions.length === 0 && !wrongBelow(wrong, 'regions'))
    problems.push({ setting: 'regions', expected: 'must be given: a map of at least one region by name' });
  checkNames('regions', regions, problems);
  for (const { name, amqpUrl } of regions) {
    // An operator's machine has the files of no region, and a pod those of its own.
    if (own !== undefined && name !== own) continue;
    const files = given.regions?.[name] ?? {};
    if (own !== undefined) checkTlsFiles(`regions.${name}`, files, wrong, folder, problems);
    if (amqpUrl.startsWith('amqp:')) noFiles(`regions.${name}`, files, 'an amqp:// address', problems);
  }
  if (own === undefined || regions.length === 0) return regions;
  const region = regions.find(({ name }) => name === own);
  if (region === undefined) {
    const names = regions.map(({ name }) => name);
    problems.push({
      setting: '--region',
      value: own,
      expected: `is not in the configuration${suggestion(own, names)}`,
    });
  } else if (region.amqpUrl === '' && !wrongBelow(wrong, `regions.${own}`))
    problems.push({
      setting: `regions.${own}.amqpUrl`,
      expected: `must be given, here or by BATON_RABBITMQ_URL or ${regionVariable(own)}`,
    });
  return regions;
}

function checkLocks(
  given: GivenFile,
  wrong: Set<string>,
  origin: Pick<LockOrigin, 'folder' | 'checkHandler' | 'regions'>,
  problems: ConfigProblem[],
): LockSettings[] {
  const entries = Object.entries(given.locks ?? {});
  if (entries.length === 0 && !wrongBelow(wrong, 'locks'))
    problems.push({ setting: 'locks', expected: 'must be given: a map of at least one lock by name' });
  const locks = entries.map(([name, own]) => {
    const completed = completeLock(merge(given.defaults ?? {}, own), {
      ...origin,
      name,
      wrong: wrongSettings(wrong, ['defaults', `locks.${name}`]),
    });
    problems.push(...completed.problems);
    return completed.settings;
  });
  checkNames('locks', locks, problems);
  problems.push(...sharedQueueProblems(locks));
  return locks;
}

function checkNames(where: string, named: { name: string }[], problems: ConfigProblem[]): void {
  for (const { name } of named)
    if (!namePattern.test(name))
      problems.push({ setting: `${where}.${name}`, expected: `the name ${nameRule}` });
}

/** A lock's own settings over the common ones, setting by setting. */
function merge(common: GivenLock, own: GivenLock): GivenLock {
  const queue = { ...common.queue, ...own.queue };
  const drill = { ...common.drill, ...own.drill };
  const preference = { ...common.preference, ...own.preference };
  return {
    ...common,
    ...own,
    ...(Object.keys(queue).length > 0 && { queue }),
    ...(Object.keys(drill).length > 0 && { drill }),
    ...(Object.keys(preference).length > 0 && { preference }),
  };
}

const wrongBelow = (wrong: Set<string>, top: string): boolean =>
  [...wrong].some((setting) => setting === top || setting.startsWith(`${top}.`));

function wrongSettings(wrong: Set<string>, prefixes: string[]): Set<string> {
  const below = prefixes.flatMap((prefix) =>
    [...wrong]
      .filter((setting) => setting.startsWith(`${prefix}.`))
      .map((setting) => setting.slice(prefix.length + 1)),
  );
  return new Set(below);
}

function withSource(problem: ConfigProblem, sources: Map<string, string>): ConfigProblem {
  const base = problem.setting.replace(/\.\d+$/, '');
  const variable = sources.get(base);
  return variable === undefined ? problem : { ...problem, setting: `${problem.setting} (from ${variable})` };
}

function valueAt(content: unknown, at: readonly PropertyKey[]): unknown {
  let value = content;
  for (const part of at) value = (value as Record<PropertyKey, unknown> | undefined)?.[part];
  return value;
}

/** A list with anything wrong in it goes as a whole. */
function removeAt(content: Record<string, unknown>, at: readonly PropertyKey[]): void {
  const list = at.findIndex((_, index) => Array.isArray(valueAt(content, at.slice(0, index + 1))));
  const end = list === -1 ? at.length : list + 1;
  const parent = valueAt(content, at.slice(0, end - 1));
  if (isMap(parent)) delete parent[String(at[end - 1])];
}

const resolved = (folder: string, file: string | undefined): string | undefined =>
  file === undefined ? undefined : path.resolve(folder, file);

/** Without the settings that are `undefined`: "not given" is an absent property. */
function defined<T extends object>(settings: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(settings).filter(([, value]) => value !== undefined)) as never;
}
