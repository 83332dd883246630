import type { DrillInput, SwitchOrder } from '../../workflows/operations-contract';
import type { DrillSettings } from '../config/config';

interface Objective {
  /** ms. `null` for none. Default: the lock's own, `drill.objectiveMs` or `drill.crashObjectiveMs`. */
  objectiveMs?: number | null;
}

/** There and back; the objective is for each of the two gaps. */
export interface PlannedDrillOptions extends SwitchOrder, Objective {
  crash?: false;
  /** ms from the end of the first switch to the beginning of the one back. */
  returnAfterMs: number;
}

/**
 * The holder's pod is killed, if its own configuration allows it (`drill.allowCrash`) and another candidate is ready; the
 * objective is for the time from the kill to the first message elsewhere.
 */
export interface CrashDrillOptions extends Omit<SwitchOrder, 'to'>, Objective {
  crash: true;
}

export type DrillOptions = PlannedDrillOptions | CrashDrillOptions;

/** What its workflow is started with. */
export function drillInput(options: DrillOptions, settings: DrillSettings): DrillInput {
  const { lock, reason, by, objectiveMs } = options;
  if (options.crash)
    return {
      kind: 'crash',
      lock,
      reason,
      by,
      objectiveMs: objectiveMs === undefined ? settings.crashObjectiveMs : objectiveMs,
    };
  const { to, returnAfterMs } = options;
  return {
    kind: 'planned',
    lock,
    to,
    reason,
    by,
    returnAfterMs,
    objectiveMs: objectiveMs === undefined ? settings.objectiveMs : objectiveMs,
  };
}
