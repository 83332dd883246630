import { existsSync, statSync } from 'node:fs';
import path from 'node:path';
import { hookStages } from '../../workflows/hook-stages';
import type { HookSettings, LockSettings, QueueSettings } from './config';
import type { ConfigProblem } from './config-error';
import { completeTiming, timingProblems } from './lock-timing';
import { completePreference, preferenceProblems } from './preference';
import type { GivenLock } from './schema';

/** Where a lock's settings stand, and what is not checked in them again. */
export interface LockOrigin {
  name: string;
  /** The folder of baton.yaml: handlers are given relative to it. */
  folder: string;
  /** Of the same file. */
  regions: readonly string[];
  /** False for the commands that run no handler: an operator's machine need not have it. */
  checkHandler: boolean;
  /** Settings already reported as wrong by themselves; no relation is checked on top. */
  wrong: ReadonlySet<string>;
}

/** Fills in the defaults of one lock and checks how its settings fit together. */
export function completeLock(
  given: GivenLock,
  origin: LockOrigin,
): { settings: LockSettings; problems: ConfigProblem[] } {
  const prefix = `locks.${origin.name}`;
  const problems: ConfigProblem[] = [];
  const timing = completeTiming(given);
  if (!origin.wrong.has('leaseTtlMs')) problems.push(...timingProblems(prefix, given, timing));

  const queue = completeQueue(given.queue ?? {});
  if (given.queue?.name === undefined && !origin.wrong.has('queue') && !origin.wrong.has('queue.name'))
    problems.push({
      setting: `${prefix}.queue.name`,
      expected: 'must be given: the queue that the lock guards',
    });
  else if (!origin.wrong.has('queue.name'))
    problems.push(...queueProblems(`${prefix}.queue`, given.queue ?? {}, queue));

  const preference = completePreference(given.preference ?? {});
  problems.push(...preferenceProblems(`${prefix}.preference`, preference, origin));

  const handler = given.handler === undefined ? '' : path.resolve(origin.folder, given.handler);
  if (given.handler === undefined) {
    if (!origin.wrong.has('handler'))
      problems.push({
        setting: `${prefix}.handler`,
        expected: 'must be given: the path of a module that exports `handle`',
      });
  } else if (origin.checkHandler && !isFile(handler))
    problems.push({
      setting: `${prefix}.handler`,
      value: given.handler,
      expected: `must be a file; there is none at ${handler}`,
    });

  if (![...origin.wrong].some((setting) => setting.startsWith('hooks')))
    problems.push(...hookProblems(`${prefix}.hooks`, given.hooks ?? []));

  const settings: LockSettings = {
    name: origin.name,
    ...timing,
    drainLimitMs: given.drainLimitMs ?? 30_000,
    stallLimitMs: given.stallLimitMs ?? 5000,
    healthLimitMs: given.healthLimitMs ?? 10_000,
    minSwitchIntervalMs: given.minSwitchIntervalMs ?? 0,
    maxFailureRate: given.maxFailureRate ?? 1,
    approvalWithinMs: given.approvalWithinMs ?? 0,
    hooks: (given.hooks ?? []).map((hook) => completeHook(hook, origin.folder)),
    maxChangesPerHour: given.maxChangesPerHour ?? 6,
    historyLimit: given.historyLimit ?? 500,
    drill: {
      objectiveMs: given.drill?.objectiveMs ?? null,
      crashObjectiveMs: given.drill?.crashObjectiveMs ?? null,
      allowCrash: given.drill?.allowCrash ?? false,
    },
    preference,
    queue,
    handler,
    process: given.process ?? 'shared',
  };
  return { settings, problems };
}

type GivenHook = NonNullable<GivenLock['hooks']>[number];

function completeHook(given: GivenHook, folder: string): HookSettings {
  const { name = '', at = 'before-release', timeoutMs = 5_000, onFailure = 'stop', url, command } = given;
  const call = { ...(url !== undefined && { url }), ...(command !== undefined && { command }) };
  return { name, at, timeoutMs, onFailure, ...call, folder };
}

function hookProblems(prefix: string, hooks: GivenHook[]): ConfigProblem[] {
  const problems: ConfigProblem[] = [];
  for (const [index, { name, at, url, command, onFailure }] of hooks.entries()) {
    const setting = `${prefix}.${index}`;
    if (name === undefined) problems.push({ setting: `${setting}.name`, expected: 'must be given' });
    else if (hooks.findIndex((other) => other.name === name) !== index)
      problems.push({
        setting: `${setting}.name`,
        value: name,
        expected: 'must not be the name of another hook',
      });
    if (at === undefined)
      problems.push({
        setting: `${setting}.at`,
        expected: `must be given: one of ${hookStages.join(', ')}`,
      });
    if ((url === undefined) === (command === undefined))
      problems.push({ setting, expected: 'must have exactly one of url and command' });
    if (onFailure !== undefined && at !== undefined && at !== 'before-release')
      problems.push({
        setting: `${setting}.onFailure`,
        value: onFailure,
        expected: `is for hooks at before-release only, and this one is at ${at}: nothing can be stopped any more`,
      });
  }
  return problems;
}

/** A default gives way when a given value would break its relation. */
function completeQueue(given: NonNullable<GivenLock['queue']>): QueueSettings {
  const name = given.name ?? '';
  const concurrency = given.concurrency ?? Math.min(10, given.prefetch ?? 10);
  const maxDeliveries = given.maxDeliveries ?? 5;
  return {
    name,
    declare: given.declare ?? true,
    deadLetterExchange: given.deadLetterExchange ?? `${name}.dead`,
    deliveryLimit: given.deliveryLimit ?? Math.max(100, maxDeliveries + 1),
    prefetch: given.prefetch ?? concurrency,
    concurrency,
    maxDeliveries,
    heartbeatSeconds: given.heartbeatSeconds ?? 5,
  };
}

function queueProblems(
  prefix: string,
  given: NonNullable<GivenLock['queue']>,
  queue: QueueSettings,
): ConfigProblem[] {
  const problems: ConfigProblem[] = [];
  if (queue.prefetch < queue.concurrency)
    problems.push({
      setting: `${prefix}.prefetch`,
      value: queue.prefetch,
      expected: `must be at least concurrency (${queue.concurrency})`,
    });
  if (queue.deliveryLimit <= queue.maxDeliveries)
    problems.push({
      setting: `${prefix}.${given.deliveryLimit === undefined ? 'maxDeliveries' : 'deliveryLimit'}`,
      value: queue.deliveryLimit,
      expected: `must be above maxDeliveries (${queue.maxDeliveries})`,
    });
  if (queue.deadLetterExchange === queue.name)
    problems.push({
      setting: `${prefix}.deadLetterExchange`,
      value: queue.deadLetterExchange,
      expected: 'must not be the queue itself: a dead-letter queue of that name is bound to it',
    });
  return problems;
}

/** Relations between locks. Two locks on one queue would let two regions consume it at once. */
export function sharedQueueProblems(locks: LockSettings[]): ConfigProblem[] {
  const problems: ConfigProblem[] = [];
  const owners = new Map<string, string>();
  for (const { name, queue } of locks) {
    if (queue.name === '') continue;
    const owner = owners.get(queue.name);
    if (owner === undefined) owners.set(queue.name, name);
    else
      problems.push({
        setting: `locks.${name}.queue.name`,
        value: queue.name,
        expected: `must not be the queue of another lock (${owner})`,
      });
  }
  for (const { name, queue } of locks) {
    const owner = owners.get(queue.deadLetterExchange);
    if (owner !== undefined && owner !== name)
      problems.push({
        setting: `locks.${name}.queue.deadLetterExchange`,
        value: queue.deadLetterExchange,
        expected: `must not be the queue of another lock (${owner})`,
      });
  }
  return problems;
}

function isFile(file: string): boolean {
  return existsSync(file) && statSync(file).isFile();
}
