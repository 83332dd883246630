import { z } from 'zod';
import { hookStages } from '../../workflows/hook-stages';
import { weekdays } from './config';

/**
 * The shape of baton.yaml: names, types and absolute bounds. Relations between values are in lock-timing.ts
 * and lock-settings.ts. Every problem's text goes on where "<setting> is <value>: " ends.
 */

/** The longest delay that a Node timer takes. */
const maxTimerMs = 2_147_483_647;
const hourMs = 3_600_000;

export const namePattern = /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/;
export const nameRule =
  'must be 1 to 63 letters, digits, dots, dashes or underscores, beginning with a letter or digit';
export const logLevels = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;

function whole(unit: string, min: number, max: number) {
  const bounds = max === maxTimerMs ? `${min} or more` : `from ${min} to ${max}`;
  const error = `must be a whole number${unit}, ${bounds}`;
  return z.int({ error }).min(min, { error }).max(max, { error });
}
const ms = (min: number, max = maxTimerMs) => whole(' of milliseconds', min, max);
const count = (min: number, max: number) => whole('', min, max);
const text = (what: string) => z.string({ error: `must be ${what}` }).min(1, { error: `must be ${what}` });
const map = <T extends z.ZodRawShape>(shape: T) =>
  z.strictObject(shape, {
    error: (issue) => (issue.code === 'invalid_type' ? 'must be a map of settings' : undefined),
  });
const brokerName = (what: string, maxBytes: number) => {
  const error = `must be the name of ${what}: 1 to ${maxBytes} bytes, no control characters, not beginning with "amq."`;
  return z
    .string({ error })
    .refine(
      (name) =>
        name !== '' &&
        Buffer.byteLength(name) <= maxBytes &&
        !/\p{Cc}/u.test(name) &&
        !name.startsWith('amq.'),
      { error },
    );
};

const flag = () => z.boolean({ error: 'must be true or false' });

const rateRule = 'must be a share above 0 and at most 1, as 0.2';
const ttlRule = `must be whole seconds in milliseconds, from 2000 to ${hourMs}`;

/** All optional: what is missing after merging with `defaults` is derived or reported. */
const queue = map({
  // 250, so that the default dead-letter exchange, `<name>.dead`, fits into AMQP's 255 bytes.
  name: brokerName('a queue', 250),
  declare: flag(),
  deadLetterExchange: brokerName('an exchange', 255),
  deliveryLimit: count(20, 1_000_000),
  // AMQP's basic.qos carries 16 bits.
  prefetch: count(1, 65_535),
  concurrency: count(1, 65_535),
  maxDeliveries: count(1, 999_999),
  heartbeatSeconds: count(1, 60),
}).partial();

const hookUrlRule = 'must be an address like https://host/path';
const commandRule = 'must be a list of a program and its arguments, as [./check.sh, --strict]';
const hook = map({
  name: z.string({ error: nameRule }).regex(namePattern, { error: nameRule }),
  at: z.enum(hookStages, { error: `must be one of ${hookStages.join(', ')}` }),
  url: z
    .string({ error: hookUrlRule })
    .refine((url) => hasScheme(url, ['http:', 'https:']), { error: hookUrlRule }),
  command: z.array(z.string({ error: commandRule }), { error: commandRule }).min(1, { error: commandRule }),
  timeoutMs: ms(100, 600_000),
  onFailure: z.enum(['stop', 'go-on'], { error: 'must be stop or go-on' }),
}).partial();
const drill = map({ objectiveMs: ms(1), crashObjectiveMs: ms(1), allowCrash: flag() }).partial();
const regionNames = z.array(text('the name of a region'), { error: 'must be a list of regions' });
const dayRule = `must be a list of at least one of ${weekdays.join(', ')}`;
const clockRule = 'must be a time of day from 00:00 to 23:59, in quotes';
const clock = z.string({ error: clockRule }).regex(/^([01]\d|2[0-3]):[0-5]\d$/, { error: clockRule });
const zoneRule = 'must be a time zone by its IANA name, as Europe/Berlin';

const preference = map({
  order: regionNames,
  never: regionNames,
  failback: map({
    windows: z.array(
      map({
        days: z
          .array(z.enum(weekdays, { error: dayRule }), { error: dayRule })
          .min(1, { error: dayRule })
          .optional(),
        from: clock,
        to: clock,
      }),
      { error: 'must be a list of windows like { days: [sat, sun], from: "02:00", to: "04:00" }' },
    ),
    timeZone: z.string({ error: zoneRule }).refine(isTimeZone, { error: zoneRule }),
    healthyForMs: ms(0),
  }).partial(),
}).partial();

export const lockSchema = map({
  leaseTtlMs: z
    .number({ error: ttlRule })
    .multipleOf(1000, { error: ttlRule })
    .min(2000, { error: ttlRule })
    .max(hourMs, { error: ttlRule }),
  deadlineMarginMs: ms(500),
  keeperIntervalMs: ms(51),
  abortLeadMs: ms(0),
  beatMs: ms(1000),
  drainLimitMs: ms(0),
  stallLimitMs: ms(500),
  healthLimitMs: ms(500),
  maxFailureRate: z.number({ error: rateRule }).gt(0, { error: rateRule }).lte(1, { error: rateRule }),
  verificationMaxAgeMs: ms(1),
  requestTimeoutMs: ms(50),
  minSwitchIntervalMs: ms(0),
  maxChangesPerHour: count(1, 1_000),
  approvalWithinMs: ms(0, 7 * 24 * hourMs),
  hooks: z.array(hook, { error: 'must be a list of hooks' }).max(10, { error: 'must be 10 hooks at most' }),
  // Temporal ends a workflow at 51,200 events; one switch must still fit above the limit.
  historyLimit: count(100, 40_000),
  drill,
  preference,
  queue,
  handler: text('the path of a module that exports `handle`'),
  process: z.enum(['shared', 'own'], { error: 'must be shared or own' }),
}).partial();
export type GivenLock = z.infer<typeof lockSchema>;

const amqpRule = 'must be an address like amqp://user:password@host:5672/vhost (or amqps://)';
const managementRule =
  'must be an address like http://user:password@host:15672 (or https://), with a user and a password';
const region = map({
  amqpUrl: z
    .string({ error: amqpRule })
    .refine((url) => hasScheme(url, ['amqp:', 'amqps:']), { error: amqpRule }),
  caFile: text('the path of a PEM file'),
  certFile: text('the path of a PEM file'),
  keyFile: text('the path of a PEM file'),
  managementUrl: z.string({ error: managementRule }).refine(isManagementAddress, { error: managementRule }),
}).partial();

const endpointRule = 'must be an address like http://host:2379 (or https://), without credentials and path';
const endpointsRule = 'must be a list of at least one address like http://host:2379';
// The server joins name and build id with a dot or a colon.
const deploymentRule =
  'must be 1 to 63 letters, digits, dashes or underscores, beginning with a letter or digit';
const postgresRule = 'must be an address like postgres://user:password@host:5432/database';
const temporalRule = 'must be host:port, without a scheme';

export const fileSchema = map({
  regions: z.record(z.string(), region.nullable(), { error: 'must be a map of regions by name' }),
  etcd: map({
    endpoints: z
      .array(z.string({ error: endpointRule }).refine(isEndpoint, { error: endpointRule }), {
        error: endpointsRule,
      })
      .min(1, { error: endpointsRule }),
    username: text('a user name'),
    password: text('a password'),
    caFile: text('the path of a PEM file'),
    certFile: text('the path of a PEM file'),
    keyFile: text('the path of a PEM file'),
    failureDomains: z.record(z.string(), text('the name of what fails together, as a site'), {
      error: 'must be a map of sites by member name',
    }),
  }).partial(),
  temporal: map({
    address: z
      .string({ error: temporalRule })
      .regex(/^[^\s/:@]+:\d{1,5}$|^\[[\da-f:.]+\]:\d{1,5}$/i, { error: temporalRule }),
    namespace: text('a namespace'),
    deployment: z
      .string({ error: deploymentRule })
      .regex(/^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$/, { error: deploymentRule }),
    apiKey: text('an API key'),
    caFile: text('the path of a PEM file'),
    certFile: text('the path of a PEM file'),
    keyFile: text('the path of a PEM file'),
    encryption: map({
      keysFolder: text('the path of a folder with keys'),
      keyId: z.string({ error: nameRule }).regex(namePattern, { error: nameRule }),
    }).partial(),
  }).partial(),
  health: map({ host: text('the address to listen on'), port: count(0, 65_535) }).partial(),
  verifyIntervalMs: ms(0),
  audit: map({
    file: text('the path of a file, as audit/{pod}.jsonl'),
    postgresUrl: z
      .string({ error: postgresRule })
      .refine((url) => hasScheme(url, ['postgres:', 'postgresql:']), { error: postgresRule }),
  }).partial(),
  telemetry: map({ tracing: z.enum(['on', 'off'], { error: 'must be on or off' }) }).partial(),
  logLevel: z.enum(logLevels, { error: `must be one of ${logLevels.join(', ')}` }),
  defaults: lockSchema,
  locks: z.record(z.string(), lockSchema, { error: 'must be a map of locks by name' }),
}).partial();
export type GivenFile = z.infer<typeof fileSchema>;

function hasScheme(address: string, schemes: string[]): boolean {
  if (!URL.canParse(address)) return false;
  const url = new URL(address);
  return schemes.includes(url.protocol) && url.hostname !== '';
}

function isTimeZone(name: string): boolean {
  try {
    return new Intl.DateTimeFormat('en', { timeZone: name }).resolvedOptions().timeZone !== '';
  } catch {
    // A RangeError: not one that this system knows.
    return false;
  }
}

function isEndpoint(address: string): boolean {
  if (!hasScheme(address, ['http:', 'https:'])) return false;
  const url = new URL(address);
  return (
    url.username === '' && url.password === '' && url.pathname === '/' && url.search === '' && url.hash === ''
  );
}

function isManagementAddress(address: string): boolean {
  if (!hasScheme(address, ['http:', 'https:'])) return false;
  const { username, password, search, hash } = new URL(address);
  return [username, password].every(isEncodedText) && search === '' && hash === '';
}

function isEncodedText(part: string): boolean {
  try {
    return decodeURIComponent(part) !== '';
  } catch {
    // A percent sign that begins no code.
    return false;
  }
}

/** Names of the settings allowed at a path of baton.yaml; names of regions and locks stand as any text. */
export function settingNames(path: readonly PropertyKey[]): string[] {
  let schema: z.core.$ZodType | undefined = fileSchema;
  for (const part of path) {
    schema = unwrap(schema);
    if (schema instanceof z.ZodObject) schema = (schema.shape as z.core.$ZodShape)[String(part)];
    else if (schema instanceof z.ZodRecord) schema = schema.valueType;
    else if (schema instanceof z.ZodArray) schema = schema.element;
    else return [];
  }
  schema = unwrap(schema);
  return schema instanceof z.ZodObject ? Object.keys(schema.shape) : [];
}

/** Every setting with its schema, as `locks.<lock>.queue.name`; those of a list's elements as `hooks[].name`. */
export function everySetting(
  schema: z.core.$ZodType = fileSchema,
  path = '',
): { path: string; schema: z.core.$ZodType }[] {
  const bare = unwrap(schema)!;
  if (bare instanceof z.ZodObject)
    return Object.entries(bare.shape as z.core.$ZodShape).flatMap(([name, inner]) =>
      everySetting(inner, path === '' ? name : `${path}.${name}`),
    );
  if (bare instanceof z.ZodRecord)
    return everySetting(bare.valueType, `${path}.<${path.split('.').at(-1)?.replace(/s$/, '')}>`);
  const own = { path, schema: bare };
  if (bare instanceof z.ZodArray && unwrap(bare.element) instanceof z.ZodObject)
    return [own, ...everySetting(bare.element, `${path}[]`)];
  return [own];
}

function unwrap(schema: z.core.$ZodType | undefined): z.core.$ZodType | undefined {
  while (schema instanceof z.ZodOptional || schema instanceof z.ZodNullable) schema = schema.unwrap();
  return schema;
}
