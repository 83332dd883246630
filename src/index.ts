export type { Handler, HandlerContext, Message } from './listener/handler';
export type {
  Attempt,
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
export { BatonClient } from './client/baton-client';
export type {
  Aborted,
  ClientOptions,
  ForceOptions,
  Marking,
  SwitchDone,
  SwitchOptions,
  Who,
} from './client/baton-client';
export { NotSwitchedError, TurnedDownError, UnknownNameError, UnsettledError } from './client/errors';
export type { PreflightAnswer } from './client/preflight';
export { WorkflowsAwayError } from './client/region-workflows';
export type { StatusReport } from './client/status-reader';
export { UnknownOutcomeError } from '../activities/errors';
export { ConfigError } from './config/config-error';
export type {
  Config,
  LockSettings,
  PreferenceSettings,
  QueueSettings,
  RegionSettings,
} from './config/config';
