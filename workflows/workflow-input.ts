import { ApplicationFailure, workflowInfo } from '@temporalio/workflow';
import type { RegionInput, RegionSettingsChange } from './contract';
import { hookStages } from './hook-stages';
import { isName } from './names';
import type { DrillInput, GroupControl, GroupInput, SwitchOrder } from './operations-contract';
import {
  either,
  flag,
  isRecord,
  list,
  nothing,
  oneOf,
  optional,
  orNull,
  record,
  text,
  within,
  wrongIn,
} from './shape';
import { cut, kind } from './signal-payload';

/**
 * Workflows can be started by anyone who reaches Temporal, with anything in them. An error that is thrown later would
 * fail the workflow's task again and again; these end the workflow, and say why.
 */
export const badInput = 'BadInput';

/** The longest that a timer here is asked for: 24 days. */
const maxMs = 2_147_483_647;
const ms = within(0, maxMs);
const names = (value: unknown): boolean => list(isName)(value) && (value as []).length > 0;

const hook = record({
  name: isName,
  at: oneOf(...hookStages),
  timeoutMs: ms,
  onFailure: oneOf('stop', 'go-on'),
});
const changeableSettings = {
  beatMs: within(1_000, maxMs),
  drainLimitMs: ms,
  historyLimit: within(1, maxMs),
  minSwitchIntervalMs: ms,
  approvalWithinMs: optional(ms),
  hooks: optional(list(hook)),
};
const regionSettings = { ...changeableSettings, searchAttributes: flag };
const order = { to: isName, reason: text, by: text };
const drill = {
  lock: isName,
  reason: text,
  by: text,
  objectiveMs: orNull(ms),
  region: optional(isName),
  moves: optional(within(0, 1_000)),
};

/** @throws ApplicationFailure of the type `badInput`, as do the others. It ends the workflow. */
export function checkedRegionInput(input: unknown): RegionInput {
  const given = checked('regionWorkflow', input, { lock: isName, region: isName, settings: isRecord });
  checked('regionWorkflow: settings', given['settings'], regionSettings);
  // What a former run knew cannot come from anybody else.
  const { continuedFromExecutionRunId } = workflowInfo();
  const state = continuedFromExecutionRunId === undefined ? nothing : either(nothing, isRecord);
  checked('regionWorkflow', input, { state });
  return input as RegionInput;
}

export function checkedOrder(input: unknown): SwitchOrder {
  return withCutText(checked('scheduledSwitchWorkflow', input, { lock: isName, ...order }));
}

export function checkedGroup(input: unknown): GroupInput {
  const shape = { locks: names, ...order, order: oneOf('in-order', 'at-once') };
  return withCutText(checked('groupSwitchWorkflow', input, shape));
}

export function checkedDrill(input: unknown): DrillInput {
  const { kind: which } = checked('drillWorkflow', input, { kind: oneOf('planned', 'crash') });
  const shape = which === 'planned' ? { ...drill, to: isName, returnAfterMs: ms } : drill;
  return withCutText(checked('drillWorkflow', input, shape));
}

/** What baton.yaml allows. */
const maxHooks = 10;

/** Settings that came by a signal, without what else came with them; or what is wrong with them. */
export function readSettings(value: unknown): RegionSettingsChange['settings'] | { wrong: string } {
  const wrong = isRecord(value) ? wrongIn(value, changeableSettings) : 'the payload';
  if (wrong !== null) return { wrong };
  const { beatMs, drainLimitMs, historyLimit, minSwitchIntervalMs, approvalWithinMs, hooks } =
    value as RegionSettingsChange['settings'];
  if (hooks && hooks.length > maxHooks) return { wrong: 'hooks' };
  return {
    beatMs,
    drainLimitMs,
    historyLimit,
    minSwitchIntervalMs,
    ...(approvalWithinMs !== undefined && { approvalWithinMs }),
    ...(hooks && {
      hooks: hooks.map(({ name, at, timeoutMs, onFailure }) => ({ name, at, timeoutMs, onFailure })),
    }),
  };
}

/** `null`: nothing that a group understands. A signal must not fail it. */
export function readControl(payload: unknown): GroupControl | null {
  const shape = { kind: oneOf('pause', 'resume', 'abort'), reason: text, by: text };
  return isRecord(payload) && wrongIn(payload, shape) === null ? withCutText(payload) : null;
}

function checked(
  what: string,
  input: unknown,
  shape: Parameters<typeof wrongIn>[1],
): Record<string, unknown> {
  const wrong = isRecord(input) ? wrongIn(input, shape) : 'the input';
  if (isRecord(input) && wrong === null) return input;
  const value = isRecord(input) && wrong !== null ? input[wrong] : input;
  const message = `${what}: ${wrong} is not what is expected: ${typeof value === 'number' ? value : kind(value)}`;
  throw ApplicationFailure.create({ type: badInput, message, nonRetryable: true });
}

const withCutText = <T>(input: Record<string, unknown>): T =>
  ({ ...input, reason: cut(String(input['reason'])), by: cut(String(input['by'])) }) as T;
