import type {
  DrillInput,
  DrillReport,
  GroupControl,
  GroupInput,
  GroupReport,
  GroupStatus,
  SwitchOrder,
  SwitchReport,
} from '../../workflows/operations-contract';

/** When a scheduled switch is to happen: once, or by a cron expression in a time zone (default UTC). */
export type ScheduleTime = { at: Date } | { cron: string; timeZone?: string };

export interface ScheduledSwitch extends SwitchOrder {
  id: string;
  /** The cron expression with its time zone, or the time as ISO 8601. */
  when: string;
  /** ISO 8601; `null` when it is over. */
  next: string | null;
  /** The outcome of its last run, if Temporal still has it. */
  last: SwitchReport | null;
}

/** Drills, groups and schedules: workflows of their own. Each call is bounded, and throws `WorkflowsAwayError`. */
export interface Operations {
  startDrill(id: string, input: DrillInput): Promise<void>;
  /** `null`: it goes on. */
  drillResult(id: string): Promise<DrillReport | null>;
  startGroup(id: string, input: GroupInput): Promise<void>;
  groupResult(id: string): Promise<GroupReport | null>;
  groupStatus(id: string): Promise<GroupStatus>;
  controlGroup(id: string, control: GroupControl): Promise<void>;
  /** @returns its id. */
  schedule(order: SwitchOrder, time: ScheduleTime): Promise<string>;
  scheduled(): Promise<ScheduledSwitch[]>;
  /** `false`: there is no such schedule. */
  cancelSchedule(id: string): Promise<boolean>;
}
