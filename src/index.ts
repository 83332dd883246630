export type { Handler, HandlerContext, Message } from './listener/handler';
export type {
  Attempt,
  Candidate,
  CandidateState,
  ChangeCause,
  GracefulSwitch,
  LockTruth,
  Party,
  Receipt,
  RegionPhase,
  RegionStatus,
  SwitchOutcome,
  Tenure,
} from '../workflows/contract';
export type { Config, LockSettings, QueueSettings, RegionSettings } from './config/config';
