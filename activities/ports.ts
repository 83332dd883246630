import type {
  AwaitSuccessorInput,
  AwaitSuccessorResult,
  AwaitTenureInput,
  AwaitTenureResult,
  CrashInput,
  CrashOutcome,
  DrainAndHandOverInput,
  Force,
  ForceOutcome,
  HandOverOutcome,
  HookQuestion,
  InspectInput,
  InstructionStamp,
  LockTruth,
  Mark,
  MarkResult,
  ProbeResult,
  ReleaseLockInput,
  ReleaseOutcome,
  RenewLeaseResult,
  StartListenerResult,
  SwitchAnswer,
  TenureInput,
} from '../workflows/contract';
import type { OperatorActivities } from '../workflows/operations-contract';

/**
 * The pod as its activities see it. An activity's end, however it comes, changes nothing in the pod: only
 * these calls do. Methods throw `UnknownOutcomeError` when etcd did not answer, `RefusedError` for a lock
 * that the pod does not know.
 */
export interface PodPort {
  /** Stands for the lock until told otherwise; aborting `signal` ends the wait, not the standing. */
  awaitTenure(input: AwaitTenureInput, signal: AbortSignal): Promise<AwaitTenureResult>;
  standDown(input: InstructionStamp): Promise<void>;
  startListener(input: TenureInput): Promise<StartListenerResult>;
  renewLease(input: TenureInput): Promise<RenewLeaseResult>;
  drainAndHandOver(input: DrainAndHandOverInput): Promise<HandOverOutcome>;
  releaseLock(input: ReleaseLockInput): Promise<ReleaseOutcome>;
  abortSwitch(input: { lock: string; switchId: string; why: string }): Promise<void>;
  force(input: { lock: string; force: Force }): Promise<ForceOutcome>;
  /** Settles only when the pod was not killed. */
  crash(input: CrashInput): Promise<CrashOutcome>;
  mark(input: { lock: string; mark: Mark }): Promise<MarkResult>;
  inspectLock(input: InspectInput): Promise<LockTruth>;
  probe(input: InspectInput): Promise<ProbeResult>;
  awaitSuccessor(input: AwaitSuccessorInput, signal: AbortSignal): Promise<AwaitSuccessorResult>;
  runHook(input: HookQuestion): Promise<SwitchAnswer>;
}

/** A client of Baton, as the activities of scheduled switches, drills and groups see it. */
export interface OperatorPort extends Omit<OperatorActivities, 'awaitElsewhere' | 'awaitRecovery'> {
  /** These two wait: aborting `signal` makes them reject with its reason. */
  awaitElsewhere(
    question: Parameters<OperatorActivities['awaitElsewhere']>[0],
    signal: AbortSignal,
  ): ReturnType<OperatorActivities['awaitElsewhere']>;
  awaitRecovery(
    question: Parameters<OperatorActivities['awaitRecovery']>[0],
    signal: AbortSignal,
  ): ReturnType<OperatorActivities['awaitRecovery']>;
}
