import { resolve } from 'node:path';
import type { ConfigProblem } from './config-error';
import { readSecretFile } from './secret-file';

/** A variable that overrides one setting of baton.yaml. */
interface Override {
  variable: string;
  path: string[];
  /** With `_FILE` appended, names a file that holds the value, as mounted secrets do. */
  secret?: boolean;
  parse?: (text: string) => unknown;
}

const list = (text: string): string[] =>
  text
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '');
/** Anything but digits stays text, which the schema then refuses with the setting's rule. */
const integer = (text: string): unknown => (/^\d+$/.test(text) ? Number(text) : text);

/** Later ones win. Temporal's own variables stand here too, so that the environment always wins over the file. */
export const overrides: readonly Override[] = [
  { variable: 'BATON_ETCD_ENDPOINTS', path: ['etcd', 'endpoints'], parse: list },
  { variable: 'BATON_ETCD_USERNAME', path: ['etcd', 'username'], secret: true },
  { variable: 'BATON_ETCD_PASSWORD', path: ['etcd', 'password'], secret: true },
  { variable: 'BATON_ETCD_CA_FILE', path: ['etcd', 'caFile'] },
  { variable: 'BATON_ETCD_CERT_FILE', path: ['etcd', 'certFile'] },
  { variable: 'BATON_ETCD_KEY_FILE', path: ['etcd', 'keyFile'] },
  { variable: 'TEMPORAL_ADDRESS', path: ['temporal', 'address'] },
  { variable: 'TEMPORAL_NAMESPACE', path: ['temporal', 'namespace'] },
  { variable: 'TEMPORAL_API_KEY', path: ['temporal', 'apiKey'] },
  { variable: 'BATON_TEMPORAL_ADDRESS', path: ['temporal', 'address'] },
  { variable: 'BATON_TEMPORAL_NAMESPACE', path: ['temporal', 'namespace'] },
  { variable: 'BATON_TEMPORAL_API_KEY', path: ['temporal', 'apiKey'], secret: true },
  { variable: 'BATON_TEMPORAL_CA_FILE', path: ['temporal', 'caFile'] },
  { variable: 'BATON_TEMPORAL_CERT_FILE', path: ['temporal', 'certFile'] },
  { variable: 'BATON_TEMPORAL_KEY_FILE', path: ['temporal', 'keyFile'] },
  { variable: 'BATON_TEMPORAL_ENCRYPTION_KEYS_FOLDER', path: ['temporal', 'encryption', 'keysFolder'] },
  { variable: 'BATON_TEMPORAL_ENCRYPTION_KEY_ID', path: ['temporal', 'encryption', 'keyId'] },
  { variable: 'BATON_HEALTH_HOST', path: ['health', 'host'] },
  { variable: 'BATON_HEALTH_PORT', path: ['health', 'port'], parse: integer },
  { variable: 'BATON_VERIFY_INTERVAL_MS', path: ['verifyIntervalMs'], parse: integer },
  { variable: 'BATON_AUDIT_POSTGRES_URL', path: ['audit', 'postgresUrl'], secret: true },
  { variable: 'BATON_TRACING', path: ['telemetry', 'tracing'] },
  { variable: 'BATON_LOG_LEVEL', path: ['logLevel'] },
];

const brokerVariable = 'BATON_RABBITMQ_URL';
/** Variables that each region has, its name appended; those of the pod's own broker also without. */
export const regionVariables: readonly { common: string; setting: string; secret?: true; own?: true }[] = [
  { common: brokerVariable, setting: 'amqpUrl', secret: true, own: true },
  { common: 'BATON_RABBITMQ_CA_FILE', setting: 'caFile', own: true },
  { common: 'BATON_RABBITMQ_CERT_FILE', setting: 'certFile', own: true },
  { common: 'BATON_RABBITMQ_KEY_FILE', setting: 'keyFile', own: true },
  { common: 'BATON_RABBITMQ_MANAGEMENT_URL', setting: 'managementUrl', secret: true },
];

/** `BATON_RABBITMQ_URL_US_EAST` for us-east. */
export const regionVariable = (region: string, variable: string = brokerVariable): string =>
  `${variable}_${region.toUpperCase().replace(/[-.]/g, '_')}`;

export interface Overridden {
  /** The file's content with the environment's values put in; the argument is left alone. */
  content: Record<string, unknown>;
  /** Which variable a setting's value came from. */
  sources: Map<string, string>;
  /** Which file a setting's value was read from, as an absolute path. */
  files: Map<string, string>;
  problems: ConfigProblem[];
}

/** Puts the environment's addresses and secrets over the file's. An empty variable counts as not set. */
export function applyEnvironment(
  file: Record<string, unknown>,
  env: NodeJS.ProcessEnv,
  region: string | undefined,
): Overridden {
  const result: Overridden = {
    content: structuredClone(file),
    sources: new Map(),
    files: new Map(),
    problems: [],
  };
  for (const override of [...overrides, ...brokerOverrides(file, region, result.problems, env)]) {
    const found = readVariable(override, env, result.problems);
    if (found === undefined) continue;
    if (!putAt(result.content, override.path, override.parse?.(found.text) ?? found.text)) continue;
    const setting = override.path.join('.');
    result.sources.set(setting, found.variable);
    result.files.delete(setting);
    if (found.file !== undefined) result.files.set(setting, resolve(found.file));
  }
  return result;
}

/** The named variables of each region, and the plain one for this pod's broker. */
function brokerOverrides(
  file: Record<string, unknown>,
  region: string | undefined,
  problems: ConfigProblem[],
  env: NodeJS.ProcessEnv,
): Override[] {
  const regions = isMap(file.regions) ? Object.keys(file.regions) : [];
  const owners = new Map<string, string>();
  const named = regionVariables.flatMap(({ common, setting, secret = false }) =>
    regions.map((name): Override => {
      const variable = regionVariable(name, common);
      const owner = owners.get(variable);
      if (owner !== undefined && (env[variable] ?? env[`${variable}_FILE`]) !== undefined)
        problems.push({
          setting: variable,
          expected: `must mean one region, but is the variable of ${owner} and of ${name}`,
        });
      owners.set(variable, name);
      return { variable, path: ['regions', name, setting], secret };
    }),
  );
  if (region === undefined || !regions.includes(region)) return named;
  const own = regionVariables
    .filter((each) => each.own)
    .map(({ common, setting, secret = false }): Override => {
      return { variable: common, path: ['regions', region, setting], secret };
    });
  return [...own, ...named];
}

function readVariable(
  { variable, secret }: Override,
  env: NodeJS.ProcessEnv,
  problems: ConfigProblem[],
): { variable: string; text: string; file?: string } | undefined {
  const text = env[variable];
  const fileVariable = `${variable}_FILE`;
  const file = secret === true ? env[fileVariable] : undefined;
  if (file === undefined || file === '')
    return text === undefined || text === '' ? undefined : { variable, text };
  if (text !== undefined && text !== '') {
    problems.push({ setting: variable, expected: `must not be set together with ${fileVariable}` });
    return undefined;
  }
  try {
    return { variable: fileVariable, text: readSecretFile(file), file };
  } catch (error) {
    // Reported with all other problems; the error's text names the path and nothing of the content.
    problems.push({
      setting: fileVariable,
      value: file,
      expected: `must be a readable file: ${(error as Error).message}`,
    });
    return undefined;
  }
}

/** False where the file has something else than a map on the way; the schema reports that. */
function putAt(content: Record<string, unknown>, path: string[], value: unknown): boolean {
  let node = content;
  for (const part of path.slice(0, -1)) {
    const next = node[part] ?? (node[part] = {});
    if (!isMap(next)) return false;
    node = next;
  }
  node[path.at(-1)!] = value;
  return true;
}

export function isMap(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
