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

/** When something scheduled is to happen: once, or by a cron expression in a time zone (default UTC). */
export type ScheduleTime = { at: Date } | { cron: string; timeZone?: string };

/** What can be scheduled. `region`: in whose pods a drill begins. */
export type ScheduledWork =
  { kind: 'switch'; order: SwitchOrder } | { kind: 'drill'; input: DrillInput; region: string };

export interface Scheduled extends Omit<SwitchOrder, 'to'> {
  id: string;
  kind: 'switch' | 'drill' | 'crash drill';
  /** `null` for a crash drill. */
  to: string | null;
  /** The cron expression with its time zone, or the time as ISO 8601. */
  when: string;
  /** ISO 8601; `null` when it is over. */
  next: string | null;
  /** The outcome of its last run, if Temporal still has it. */
  last: SwitchReport | DrillReport | null;
}

export interface EndedDrill {
  workflowId: string;
  /** ISO 8601. */
  at: string;
  report: DrillReport;
}

/** Drills, groups and schedules: workflows of their own. Each call is bounded, and throws `WorkflowsAwayError`. */
export interface Operations {
  /** In the pods of this region, to begin with. */
  startDrill(id: string, input: DrillInput, region: string): Promise<void>;
  /** `null`: it goes on. */
  drillResult(id: string): Promise<DrillReport | null>;
  /** The latest drills that have ended and that Temporal still knows, newest first; at most `limit` are read. */
  lastDrills(limit: number): Promise<EndedDrill[]>;
  startGroup(id: string, input: GroupInput): Promise<void>;
  groupResult(id: string): Promise<GroupReport | null>;
  groupStatus(id: string): Promise<GroupStatus>;
  controlGroup(id: string, control: GroupControl): Promise<void>;
  /** @returns its id. */
  schedule(work: ScheduledWork, time: ScheduleTime): Promise<string>;
  scheduled(): Promise<Scheduled[]>;
  /** `false`: there is no such schedule. */
  cancelSchedule(id: string): Promise<boolean>;
}
