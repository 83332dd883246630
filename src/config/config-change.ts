import { isDeepStrictEqual } from 'node:util';
import type { Config, LockSettings, QueueSettings } from './config';
import type { ConfigProblem } from './config-error';
import { showValue } from './secret';

/** One setting that was changed while the pod ran; its values as they may be shown. */
export interface ConfigChange {
  /** Path in baton.yaml. */
  setting: string;
  from: string;
  to: string;
}

/**
 * What a running pod takes over. The times of the lease are not among them: a deadline, its margin and the keeper's
 * interval are one agreement with etcd, made when the lease was granted. Nor is what a connection, a queue or a process
 * was made with.
 */
const liveLockSettings = [
  'beatMs',
  'drainLimitMs',
  'stallLimitMs',
  'healthLimitMs',
  'maxFailureRate',
  'minSwitchIntervalMs',
  'approvalWithinMs',
  'hooks',
  'maxChangesPerHour',
  'historyLimit',
  'drill',
  'preference',
] as const satisfies readonly (keyof LockSettings)[];
const liveQueueSettings = [
  'prefetch',
  'concurrency',
  'maxDeliveries',
] as const satisfies readonly (keyof QueueSettings)[];
const liveSettings = ['logLevel', 'verifyIntervalMs'] as const satisfies readonly (keyof Config)[];

const livePaths: readonly RegExp[] = [
  ...liveSettings.map((name) => new RegExp(`^${name}$`)),
  ...liveLockSettings.map((name) => new RegExp(`^locks\\..+\\.${name}(?:\\.|$)`)),
  ...liveQueueSettings.map((name) => new RegExp(`^locks\\..+\\.queue\\.${name}$`)),
  // Of `baton doctor` alone.
  /^etcd\.failureDomains(?:\.|$)/,
];

/** Every difference between the configuration that runs and the one that was read, and which of them need a restart. */
export function differences(
  now: Config,
  next: Config,
): { changes: ConfigChange[]; problems: ConfigProblem[] } {
  const [before, after] = [flattened(now), flattened(next)];
  const changes: ConfigChange[] = [];
  const problems: ConfigProblem[] = [];
  for (const setting of new Set([...before.keys(), ...after.keys()])) {
    const [from, to] = [before.get(setting), after.get(setting)];
    if (isDeepStrictEqual(from, to)) continue;
    const [old, value] = [shown(setting, from), shown(setting, to)];
    if (livePaths.some((path) => path.test(setting))) changes.push({ setting, from: old, to: value });
    else
      problems.push({
        setting,
        expected: `cannot change from ${old} to ${value} while the pod runs: restart needed`,
      });
  }
  return { changes, problems };
}

/** Brings what may change of the running configuration to `next`'s values, in place: everybody looks at these objects. */
export function takeOver(now: Config, next: Config): void {
  Object.assign(now, picked(next, liveSettings));
  now.etcd.failureDomains = next.etcd.failureDomains ?? {};
  for (const lock of now.locks) {
    const read = next.locks.find(({ name }) => name === lock.name);
    if (read) takeOverLock(lock, read);
  }
}

/** The same for one lock. */
export function takeOverLock(now: LockSettings, next: LockSettings): void {
  Object.assign(now, picked(next, liveLockSettings));
  Object.assign(now.queue, picked(next.queue, liveQueueSettings));
}

function picked<T extends object, K extends keyof T>(from: T, names: readonly K[]): Partial<T> {
  return Object.fromEntries(names.map((name) => [name, from[name]])) as unknown as Partial<T>;
}

/** Each value by its path; lists are values. A lock or region that is there at all is one too. */
function flattened(config: Config): Map<string, unknown> {
  const paths = new Map<string, unknown>();
  const add = (path: string, value: unknown): void => {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) paths.set(path, value);
    else
      for (const [name, inner] of Object.entries(value))
        if (inner !== undefined) add(`${path}.${name}`, inner);
  };
  const { regions, locks, ...rest } = config;
  for (const [name, value] of Object.entries(rest)) if (value !== undefined) add(name, value);
  for (const [kind, named] of Object.entries({ regions, locks }))
    for (const { name, ...settings } of named) add(`${kind}.${name}`, { ...settings, name });
  return paths;
}

const shown = (setting: string, value: unknown): string =>
  value === undefined
    ? 'none'
    : Array.isArray(value) && value.every((each) => typeof each === 'string')
      ? `[${value.map((each) => showValue(setting, each)).join(', ')}]`
      : showValue(setting, value);
