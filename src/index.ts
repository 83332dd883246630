export type { Handler, HandlerContext, Message } from './listener/handler';
export type {
  Attempt,
  BrokerFence,
  Candidate,
  Check,
  CandidateState,
  ChangeCause,
  GracefulSwitch,
  LockTruth,
  Party,
  Receipt,
  RegionPhase,
  RegionStatus,
  StepRecord,
  SwitchOutcome,
  Tenure,
} from '../workflows/contract';
export type {
  CrashDrillReport,
  DrillReport,
  GroupControl,
  GroupInput,
  GroupReport,
  PlannedDrillReport,
  SwitchOrder,
  SwitchReport,
} from '../workflows/operations-contract';
export { BatonClient } from './client/baton-client';
export type {
  Aborted,
  ClientOptions,
  ForceDone,
  ForceOptions,
  Marking,
  SwitchDone,
  SwitchOptions,
  Who,
} from './client/baton-client';
export type { CrashDrillOptions, DrillOptions, PlannedDrillOptions } from './client/drill-options';
export { NotSwitchedError, TurnedDownError, UnknownNameError, UnsettledError } from './client/errors';
export type { LockStatus, RegionRow } from './client/lock-status';
export type { Scheduled, ScheduleTime } from './client/operations';
export type { PreflightAnswer } from './client/preflight';
export { WorkflowsAwayError } from './client/region-workflows';
export type { StatusReport } from './client/status-reader';
export { AccessError, RefusedError, UnknownOutcomeError } from '../activities/errors';
export { ConfigError } from './config/config-error';
export type {
  Config,
  DrillSettings,
  LockSettings,
  PreferenceSettings,
  QueueSettings,
  RegionSettings,
} from './config/config';
