import type { ConfigProblem } from '../config/config-error';

const protocols = ['http/protobuf', 'http/json'];
const exporters = ['otlp', 'none'];
const samplers = [
  'always_on',
  'always_off',
  'traceidratio',
  'parentbased_always_on',
  'parentbased_always_off',
  'parentbased_traceidratio',
];
const urls = ['OTEL_EXPORTER_OTLP_ENDPOINT', 'OTEL_EXPORTER_OTLP_TRACES_ENDPOINT'];
const protocolVariables = ['OTEL_EXPORTER_OTLP_TRACES_PROTOCOL', 'OTEL_EXPORTER_OTLP_PROTOCOL'];

/** An empty variable counts as not set, as the standard has it. */
const first = (env: NodeJS.ProcessEnv, names: string[]): string | undefined =>
  names.map((name) => env[name]).find((value) => value !== undefined && value !== '');

export const otlpProtocol = (env = process.env): string => first(env, protocolVariables) ?? 'http/protobuf';
export const tracesExporter = (env = process.env): string => first(env, ['OTEL_TRACES_EXPORTER']) ?? 'otlp';

/** What the SDK would put a default for without a word. Only looked at where tracing is on. */
export function otelProblems(env: NodeJS.ProcessEnv): ConfigProblem[] {
  const problems: ConfigProblem[] = [];
  const check = (setting: string, isGood: (value: string) => boolean, expected: string): void => {
    const value = first(env, [setting]);
    if (value !== undefined && !isGood(value)) problems.push({ setting, value, expected });
  };
  for (const name of protocolVariables)
    check(name, (value) => protocols.includes(value), `must be one of ${protocols.join(', ')}`);
  check(
    'OTEL_TRACES_EXPORTER',
    (value) => exporters.includes(value),
    `must be one of ${exporters.join(', ')}`,
  );
  for (const name of urls)
    check(
      name,
      (value) => /^https?:\/\//.test(value) && URL.canParse(value),
      'must be an address like http://host:4318',
    );
  check('OTEL_TRACES_SAMPLER', (value) => samplers.includes(value), `must be one of ${samplers.join(', ')}`);
  if (env.OTEL_TRACES_SAMPLER?.endsWith('traceidratio'))
    check(
      'OTEL_TRACES_SAMPLER_ARG',
      (value) => Number(value) >= 0 && Number(value) <= 1,
      'must be a number from 0 to 1',
    );
  return problems;
}
