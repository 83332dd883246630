import { z } from 'zod';
import { RefusedError } from '../../activities/errors';
import { hookStages } from '../../workflows/hook-stages';
import { isName, maxNameLength, nameRule } from '../../workflows/names';

/** Throws `RefusedError` for a name that could leave its place among the keys. */
export function checkName(kind: string, name: string): string {
  if (isName(name)) return name;
  const given = JSON.stringify(String(name).slice(0, maxNameLength));
  throw new RefusedError(`${kind} ${given} cannot be used: expected ${nameRule}`);
}

/** Stands for a name in a value that could not be read. No real name can look like this. */
export const unreadable = '(unreadable)';

/** The names of one lock's keys. Every part that comes from outside is checked. */
export class LockKeys {
  readonly prefix: string;
  readonly holder: string;
  readonly last: string;
  readonly successor: string;
  readonly blocked: string;
  readonly paused: string;
  readonly candidates: string;
  readonly cordons: string;
  readonly flap: string;
  readonly tripped: string;
  readonly acked: string;
  readonly receipts: string;
  readonly attempts: string;

  constructor(
    readonly lock: string,
    { isRehearsal = false } = {},
  ) {
    const name = checkName('lock', lock);
    // Within what a pod may write, and outside of what anybody reads or watches.
    this.prefix = isRehearsal ? `/baton-attempts/${name}/rehearsal/` : `/baton/${name}/`;
    this.holder = `${this.prefix}holder`;
    this.last = `${this.prefix}last`;
    this.successor = `${this.prefix}successor`;
    this.blocked = `${this.prefix}blocked`;
    this.paused = `${this.prefix}paused`;
    this.candidates = `${this.prefix}candidates/`;
    this.cordons = `${this.prefix}cordoned/`;
    this.flap = `${this.prefix}flap/`;
    this.tripped = `${this.flap}tripped`;
    this.acked = `${this.flap}acked`;
    this.receipts = `${this.prefix}receipts/`;
    // Not below the prefix: everybody who watches the lock would be woken by each redelivered message.
    this.attempts = `/baton-attempts/${lock}/`;
  }

  candidate(region: string, pod: string): string {
    return `${this.candidates}${checkName('region', region)}/${checkName('pod', pod)}`;
  }

  /** `null` for a key that is not a candidate's. */
  parseCandidate(key: string): { region: string; pod: string } | null {
    const [region, pod, ...rest] = key.slice(this.candidates.length).split('/');
    if (!key.startsWith(this.candidates) || region === undefined || pod === undefined || rest.length > 0)
      return null;
    return isName(region) && isName(pod) ? { region, pod } : null;
  }

  cordon(region: string): string {
    return `${this.cordons}${checkName('region', region)}`;
  }

  aborted(switchId: string): string {
    return `${this.prefix}aborted/${checkName('switch id', switchId)}`;
  }

  receipt(id: string): string {
    return `${this.receipts}${checkName('receipt id', id)}`;
  }

  /** `id`: the message's identity, hashed to hexadecimal digits by the caller. */
  attempt(id: string): string {
    return `${this.attempts}${checkName('message id', id)}`;
  }
}

/** The end of the range of all keys that begin with `prefix`, which ends in `/`: `0` comes next. */
export function prefixEnd(prefix: string): Buffer {
  return Buffer.from(`${prefix.slice(0, -1)}0`);
}

const marked = z.object({ who: z.string(), why: z.string(), when: z.string() });
const trace = z.object({ traceparent: z.string(), tracestate: z.string().exactOptional() }).exactOptional();
const party = z.object({ region: z.string(), pod: z.string(), token: z.number() });

export const schemas = {
  holder: z.object({ region: z.string(), pod: z.string(), since: z.string() }),
  candidate: z.object({
    state: z.enum(['warming', 'ready', 'draining', 'unhealthy']),
    standing: z.boolean(),
    since: z.string(),
    version: z.string(),
    health: z.string().exactOptional(),
    offer: z.object({ id: z.string(), region: z.string(), pod: z.string(), trace }).exactOptional(),
    preparedFor: z.string().exactOptional(),
  }),
  successor: z.object({ region: z.string(), switchId: z.string() }),
  blocked: z.object({ why: z.string() }),
  paused: marked,
  cordoned: marked,
  tripped: marked,
  acked: marked,
  aborted: z.object({ why: z.string() }),
  receipt: z.object({
    id: z.string(),
    lock: z.string(),
    cause: z.enum(['first', 'takeover', 'switch', 'shutdown', 'listener-restart', 'release', 'force']),
    why: z.string(),
    by: z.string(),
    from: party.nullable(),
    to: party.nullable(),
    at: z.string(),
    drained: z.number().nullable(),
    requeued: z.number().nullable(),
    lastFinishedAt: z.string().nullable(),
    firstStartedAt: z.string().nullable(),
    gapMs: z.number().nullable(),
    trace,
    answers: z
      .array(
        z.object({
          stage: z.enum(['approval', ...hookStages]),
          from: z.string(),
          verdict: z.enum(['ok', 'vetoed', 'failed']),
          at: z.string(),
          why: z.string(),
        }),
      )
      .exactOptional(),
  }),
};

export type KeyKind = keyof typeof schemas;
export type KeyValue<K extends KeyKind> = z.infer<(typeof schemas)[K]>;

export function encodeValue<K extends KeyKind>(_kind: K, value: KeyValue<K>): Buffer {
  return Buffer.from(JSON.stringify(value));
}

/** Never throws: what cannot be read is told in one sentence, and the caller decides what is safest to assume. */
export function decodeValue<K extends KeyKind>(
  kind: K,
  key: string,
  bytes: Buffer,
): { value: KeyValue<K> } | { problem: string } {
  let json: unknown;
  try {
    json = JSON.parse(bytes.toString('utf8'));
  } catch {
    // The parser's own words name neither the key nor the value.
    return { problem: `the value of ${key} is not JSON: ${excerpt(bytes)}` };
  }
  const parsed = schemas[kind].safeParse(json);
  if (parsed.success) return { value: parsed.data as KeyValue<K> };
  const where = parsed.error.issues.map((i) => `${i.path.join('.') || 'value'}: ${i.message}`).join('; ');
  return { problem: `the value of ${key} is not a valid ${kind} (${where}): ${excerpt(bytes)}` };
}

function excerpt(bytes: Buffer): string {
  return JSON.stringify(bytes.subarray(0, 80).toString('utf8'));
}

/** etcd's 64-bit numbers as JavaScript numbers; throws above 2^53, which no cluster reaches. */
export function revisionNumber(text: string | number): number {
  const value = Number(text);
  if (Number.isSafeInteger(value) && value >= 0) return value;
  throw new RangeError(`etcd's revision ${text} is not a safe integer`);
}
