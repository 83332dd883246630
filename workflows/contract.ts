/**
 * Everything that crosses a boundary between workflow, pod and client: inputs, results, signals, queries and
 * the activity interface. Plain serialisable data; all times are ISO 8601 strings or milliseconds.
 */
import type { UpdateDefinition } from '@temporalio/common';
import { defineQuery, defineSignal, defineUpdate } from '@temporalio/workflow';
import type { HookStage } from './hook-stages';
import type { RegionState, SwitchStep } from './region-state';
import type { TraceContext } from './trace-context';

/** One unbroken period in which one pod holds one lock. `token` is the mod revision of the holder key. */
export interface Tenure {
  lock: string;
  region: string;
  /** Pod name plus boot id: a restarted pod is another pod. */
  pod: string;
  leaseId: string;
  token: number;
  /** When the tenure began, ISO 8601, by the holder's wall clock. */
  since: string;
}

/** Why the holder changed. */
export type ChangeCause =
  /** The lock was free and nobody had held it before. */
  | 'first'
  /** The former holder's lease ran out or its holder key was deleted. */
  | 'takeover'
  /** An operator's or a workflow's planned switch. */
  | 'switch'
  /** The holder was told to shut down (SIGTERM) and handed over by itself. */
  | 'shutdown'
  /** The holder's listener died or stalled and its spare went on in the same pod. */
  | 'listener-restart'
  /** The holder gave the lock up, or was told to release it, towards nobody in particular. */
  | 'release'
  /** An operator took the lock from a holder that did not answer. */
  | 'force';

export interface Party {
  region: string;
  pod: string;
  token: number;
}

/** The record of one change of holder. Unknown figures are `null`, never zero. */
export interface Receipt {
  /** The switch id of a planned switch, else a random id. */
  id: string;
  lock: string;
  cause: ChangeCause;
  /** One sentence: the reason given by the operator or found by the pod. */
  why: string;
  /** Who asked: an operator's name, or the pod's id. */
  by: string;
  from: Party | null;
  /** `null` for a release towards nobody. Its token is the create revision of the receipt's key. */
  to: Party | null;
  /** When the change was decided, ISO 8601, by the deciding pod's wall clock. */
  at: string;
  /** Messages that were in flight when the drain began and were finished. */
  drained: number | null;
  /** Prefetched messages that were returned to the queue unworked. */
  requeued: number | null;
  /** Last message finished before the change, ISO 8601 with milliseconds, by the old holder's wall clock. */
  lastFinishedAt: string | null;
  /** First message started after it, by the new holder's wall clock. */
  firstStartedAt: string | null;
  /** `firstStartedAt - lastFinishedAt` in ms; across machines it includes their clock offset. */
  gapMs: number | null;
  /** Of approval and hooks, oldest first; missing where nobody was asked. */
  answers?: SwitchAnswer[];
  /** Where the new holder's spans belong; missing without tracing. */
  trace?: TraceContext;
}

export type { HookStage };

/** A hook as the workflow knows it. What it calls stands in the pods' configuration only. */
export interface HookTiming {
  name: string;
  at: HookStage;
  timeoutMs: number;
  /** `stop`: before the release, a hook that fails or gives no answer stops the switch like a veto. */
  onFailure: 'stop' | 'go-on';
}

/** What somebody who was asked about a switch said. */
export interface SwitchAnswer {
  stage: 'approval' | HookStage;
  /** Who approved, or the hook's name. */
  from: string;
  /** `failed`: an error, or no answer in time. After the release none of them stops anything. */
  verdict: 'ok' | 'vetoed' | 'failed';
  /** ISO 8601. */
  at: string;
  why: string;
}

export type CandidateState = 'warming' | 'ready' | 'draining' | 'unhealthy';

/** A pod that could take over, as registered in etcd. */
export interface Candidate {
  region: string;
  pod: string;
  state: CandidateState;
  /** Told by its region's workflow to take the lock whenever it may. */
  standing: boolean;
  since: string;
  version: string;
}

// --- the region workflow ---------------------------------------------------------------------------------

/** What one region workflow is started with. One workflow per lock and region. */
export interface RegionInput {
  lock: string;
  region: string;
  settings: RegionTimings;
  /** Only from continue-as-new: everything that the former run knew, its unread inbox included. */
  state?: RegionState;
}

/** Given when the workflow is started; `regionSettings` changes them while it runs. */
export interface RegionTimings {
  /** ms between two beats while a tenure is known; at least 1,000, the server's shortest timer. */
  beatMs: number;
  /** ms for messages in flight during a planned switch. The instruction itself gets 5,000 more. */
  drainLimitMs: number;
  /** Continue-as-new above this many history events. */
  historyLimit: number;
  /** ms between two changes of holder by a planned switch; 0 for no limit. */
  minSwitchIntervalMs: number;
  /** Whether the four search attributes exist in the namespace. */
  searchAttributes: boolean;
  /** ms within which somebody else has to approve a switch; missing: nobody has to. */
  approvalWithinMs?: number;
  /** Missing: none. */
  hooks?: HookTiming[];
}

// --- messages to the region workflow -------------------------------------------------------------------

/** Gives the lock to another region. Fire and forget; the outcome is in `status` and in the receipt. */
export interface GracefulSwitch {
  /** The id under which the outcome can be asked for; generated by the workflow when left out. */
  switchId?: string;
  /** The region to become active; any other region with a ready candidate when left out. */
  to?: string;
  reason: string;
  by: string;
  /** The span that asks. */
  trace?: TraceContext;
}

/** What may change of a running region workflow. Whether search attributes exist is the namespace's matter. */
export interface RegionSettingsChange {
  pod: string;
  settings: Omit<RegionTimings, 'searchAttributes'>;
}

export interface PodReady {
  pod: string;
  /** Base name of the pod's two task queues, `<queue>/stand` and `<queue>/do`. Unique per boot. */
  queue: string;
}

export interface PodStopping {
  pod: string;
  why: string;
}

export interface TenureEnded {
  pod: string;
  token: number;
  why: string;
}

/** The same as an update: it is turned down at once, or returns the outcome. Asked again under its id, it answers the same. */
export interface SwitchTo {
  switchId: string;
  /** The region to become active; any other region with a ready candidate when left out. */
  to?: string;
  reason: string;
  by: string;
  /** The span that asks. */
  trace?: TraceContext;
}

/** The answer to a switch that waits for an approval. */
export interface Approval {
  switchId: string;
  verdict: 'approve' | 'veto';
  reason: string;
  /** Not who asked for the switch; what is vetoed may be one's own. */
  by: string;
}

export interface AbortSwitch {
  switchId: string;
  reason: string;
  by: string;
}

/** Whether `to`, or any other region where it is left out, could take over now. */
export interface PreflightQuestion {
  to?: string;
}

/** What a preflight looks at: of the lock, of a region, and of its candidates. */
export type CheckName =
  /** etcd shows the holder that the workflow knows. */
  | 'holder'
  | 'not paused'
  | 'not cordoned'
  /** The configuration does not keep the region from it; only looked at where it keeps one. */
  | 'may be active'
  | 'not blocked'
  | 'not reserved'
  | 'time since last change'
  | 'no other switch'
  /** Never fails: says whose word a switch will wait for. */
  | 'approval and hooks'
  /** Never fails: a switch by a person is not held up by it. */
  | 'automatic changes'
  /** Ready, standing, and for how long. */
  | 'candidate'
  /** The pod itself, on its own task queue. */
  | 'pod answers'
  | 'broker reachable'
  | 'workflow running'
  /** Lease and clocks leave time until the deadline. */
  | 'clock margin';

/** One verdict, with its values in `why`. */
export interface Check {
  check: CheckName;
  /** `null`: about the lock as a whole. */
  region: string | null;
  pod: string | null;
  passed: boolean;
  why: string;
}

export interface PreflightReport {
  lock: string;
  holder: Tenure | null;
  checks: Check[];
  /** Regions that could take over. */
  able: string[];
  /** Gaps of the latest planned switches with a known one, newest first, in ms; at most 20. */
  recentGapsMs: number[];
}

/**
 * Updates end with this failure type when their run ends first: the same question, asked again under the same switch
 * id, finds the answer.
 */
export const askAgain = 'AskAgain';
/** The failure type of what is turned down before it enters history; the message says why. */
export const turnedDown = 'TurnedDown';

/** What an operator sets on a lock, in etcd, without a lease: it outlives every process. */
export type Mark =
  /** No automatic takeover and no switch; the holder goes on. */
  | { kind: 'pause' | 'resume'; region?: never; reason: string; by: string }
  /** Somebody has looked at a lock that changed its region too often: automatic changes may go on. */
  | { kind: 'ack'; region?: never; reason: string; by: string }
  /** The region's candidates step back, and its holder hands over when another region can take over. */
  | { kind: 'cordon' | 'uncordon'; region: string; reason: string; by: string };

/** Takes the lock from a holder that does not answer. */
export interface Force {
  switchId: string;
  /** The token of the holder that it is taken from: no other one is touched. */
  token: number;
  to: string;
  reason: string;
  by: string;
  /**
   * `deadline`: nobody may acquire until the old holder's deadline has passed for certain. `nothing`: at once, while
   * the old holder may still be working; the one exemption from "never two at a time".
   */
  waitFor: 'deadline' | 'nothing';
}

/** What became of the connections to the broker that the fenced holder had. */
export interface BrokerFence {
  /** `failed`: the broker could not be asked, or did not close all. `not-configured`: it was not asked. */
  outcome: 'closed' | 'failed' | 'not-configured';
  /** Connections that the broker has closed. */
  closed: number;
  why: string;
}

export type ForceOutcome =
  /** `broker` is missing from an older pod. */
  | { outcome: 'released'; receipt: Receipt; broker?: BrokerFence }
  /** It was not the holder any more; nothing was changed. */
  | { outcome: 'refused'; why: string };

/** For a drill: the holder's pod is to kill itself, agent and listeners at once. */
export interface CrashInput {
  lock: string;
  /** Of the tenure that is to be lost: nobody else is killed. */
  token: number;
  drillId: string;
  reason: string;
  by: string;
}

/** There is an answer only where nothing was killed. */
export type CrashOutcome =
  /** Its configuration does not allow it, or nobody could take over. */
  | { outcome: 'refused'; why: string }
  /** This pod does not hold the lock under that token. */
  | { outcome: 'not-holder'; why: string };

export interface MarkResult {
  /** Whether this request changed anything. */
  changed: boolean;
  /** One sentence: what holds now, and since when. */
  why: string;
}

export const forceUpdate = defineUpdate<ForceOutcome, [Force]>('force');
/** Updates, one for each kind of mark; the payload is the mark without its kind. */
export const markKinds = ['pause', 'resume', 'ack', 'cordon', 'uncordon'] as const satisfies Mark['kind'][];
export type MarkPayload = Omit<Mark, 'kind'>;
export const markUpdate = (kind: Mark['kind']): UpdateDefinition<MarkResult, [MarkPayload]> =>
  defineUpdate<MarkResult, [MarkPayload]>(kind);
export const switchToUpdate = defineUpdate<SwitchOutcome, [SwitchTo]>('switchTo');
export const abortSwitchUpdate = defineUpdate<SwitchOutcome, [AbortSwitch]>('abortSwitch');
/** Answers with what comes of it, in one sentence. */
export const approveUpdate = defineUpdate<{ why: string }, [Approval]>('approve');
export const preflightUpdate = defineUpdate<PreflightReport, [PreflightQuestion]>('preflight');

export const gracefulSwitchSignal = defineSignal<[GracefulSwitch]>('gracefulSwitch');
export const podReadySignal = defineSignal<[PodReady]>('podReady');
export const podStoppingSignal = defineSignal<[PodStopping]>('podStopping');
export const tenureEndedSignal = defineSignal<[TenureEnded]>('tenureEnded');
/** From a pod whose configuration was read again: all of them, also those that are as before. */
export const regionSettingsSignal = defineSignal<[RegionSettingsChange]>('regionSettings');

export const regionPhases = [
  /** No pod of this region holds the lock; its pods stand for it. */
  'standby',
  /** A pod of this region holds the lock. */
  'active',
  /** The holder has been told to drain and hand over; its answer is awaited. */
  'draining',
  /** Handed over: the successor's first message is awaited. Or the drain gave no answer: etcd is asked. */
  'handing-over',
  /** Standby while the lock is paused in etcd, as the pods report it. */
  'paused',
] as const;
export type RegionPhase = (typeof regionPhases)[number];

/** What became of a requested switch. */
export interface SwitchOutcome {
  switchId: string;
  to: string | null;
  reason: string;
  by: string;
  /** `running` until it is one of the others; the update answers so when an approval is waited for. */
  result: 'running' | 'done' | 'refused' | 'rolled-back' | 'ignored' | 'failed';
  /** One sentence; for a refusal it names every failed check with its values. */
  why: string;
  receipt: Receipt | null;
  /** Oldest first; missing for switches of an older workflow. At most 20. */
  steps?: StepRecord[];
  /** The span that asked. */
  trace?: TraceContext;
}

/** One step of a switch, from its beginning. */
export interface StepRecord {
  step: SwitchStep;
  at: string;
  why: string;
}

/** One acquisition attempt of a pod: who tried, what came of it. */
export interface Attempt {
  at: string;
  pod: string;
  outcome: 'won' | 'lost' | 'refused' | 'unknown';
  why: string;
}

export interface RegionStatus {
  lock: string;
  region: string;
  phase: RegionPhase;
  tenure: Tenure | null;
  /** One sentence: the last decision and its reason. */
  why: string;
  /** `silent`: it did not answer the last time it was asked. */
  pods: { pod: string; awaiting: boolean; silent: boolean }[];
  beat: { at: string; outcome: string; processed: number; inFlight: number } | null;
  /** Newest first, as are the two below; the one under way, if any, comes first with `running`. At most 21. */
  lastSwitches: SwitchOutcome[];
  /** At most 20. */
  receipts: Receipt[];
  /** At most 20. */
  attempts: Attempt[];
  /** How often the workflow has continued as new, plus one. */
  runs: number;
  /** Signals taken in since the first run, and how many of them were malformed. */
  signals?: { taken: number; malformed: number };
  /** Beats in a row that the holder did not answer. */
  silentBeats?: number;
}

/** A switch that has come to its end, as the worker's tracing is told of it. */
export interface EndedSwitch extends SwitchOutcome {
  lock: string;
  region: string;
  /** The workflow's own span. */
  span: TraceContext;
  /** ms since 1970, by the workflow's time. */
  endedAt: number;
}
/** `type`, as the SDK asks for an index signature. */
export type TraceSinks = { tracing: { switchEnded(ended: EndedSwitch): void } };

export const statusQuery = defineQuery<RegionStatus>('status');

// --- activities: instructions to one pod -----------------------------------------------------------------

/**
 * Carried by each instruction. A pod refuses one whose `seq` is below the last it has seen for that lock,
 * whose token is not its tenure's, or whose switch has been aborted: a thawed pod runs what waited for it.
 */
export interface InstructionStamp {
  lock: string;
  /**
   * The region workflow's run-spanning counter. It begins at the first run's start time in ms, so that a
   * workflow started again after a termination still counts above its predecessor.
   */
  seq: number;
}

export interface AwaitTenureInput extends InstructionStamp {
  /** Only a tenure with a token above this one is reported. */
  afterToken: number;
  /**
   * Whether the workflow believes the lock to be paused. A pod that sees it otherwise answers `not-yet` at
   * once, with its own view, instead of after five minutes.
   */
  paused?: boolean;
}
export type AwaitTenureResult =
  | { outcome: 'tenure'; tenure: Tenure; receipt: Receipt | null; attempts: Attempt[] }
  /** Five minutes passed, or a newer call or a stop ended this one. */
  | { outcome: 'not-yet'; why: string; attempts: Attempt[]; paused?: boolean };

export interface TenureInput extends InstructionStamp {
  tenure: Tenure;
}
export interface Failback {
  to: string;
  why: string;
}
export type RenewLeaseResult =
  | {
      outcome: 'extended';
      /** ms until the tenure's deadline. */
      marginMs: number;
      processed: number;
      inFlight: number;
      receipt: Receipt | null;
      /** The holder's region is cordoned: it should hand over. */
      cordoned?: Marked | null;
      /** A more preferred region is healthy, and its time has come: the lock should go back to it. */
      failback?: Failback;
    }
  /** The pod does not hold this tenure (any more); `holder` is etcd's word, `null` for nobody. */
  | { outcome: 'lost'; why: string; holder: Tenure | null }
  /** etcd did not answer; the tenure lives on until its deadline. */
  | { outcome: 'unknown'; why: string; marginMs: number };

export interface StartListenerResult {
  outcome: 'started' | 'refused';
  why: string;
}

export interface DrainAndHandOverInput extends InstructionStamp {
  tenure: Tenure;
  switchId: string;
  /** Pods that answered the preflight, best first. */
  targets: { region: string; pod: string }[];
  reason: string;
  by: string;
  /** For the receipt. */
  answers?: SwitchAnswer[];
  trace?: TraceContext;
}
export type HandOverOutcome =
  /** Another pod holds the lock; the receipt may still lack the first message. */
  | { outcome: 'handed-over'; receipt: Receipt }
  /** The hand-over was refused; this pod consumes again under the same token. */
  | { outcome: 'resumed'; why: string }
  /** Nothing was changed: stale, aborted, or not the holder. */
  | { outcome: 'refused'; why: string }
  /** The tenure ended meanwhile. */
  | { outcome: 'lost'; why: string };

export interface ReleaseLockInput extends InstructionStamp {
  tenure: Tenure;
  switchId: string;
  /** Named successor: for a short window nobody else may acquire. */
  towards?: string;
  reason: string;
  by: string;
}
export type ReleaseOutcome =
  { outcome: 'released'; receipt: Receipt } | { outcome: 'refused' | 'lost'; why: string };

export interface InspectInput {
  lock: string;
  /** Also read the receipts' gaps. */
  gaps?: boolean;
}
/** An operator's mark on a lock. */
export interface Marked {
  who: string;
  why: string;
  when: string;
}

/** etcd's word on one lock. */
export interface LockTruth {
  holder: Tenure | null;
  candidates: Candidate[];
  paused: Marked | null;
  /** Missing from an older pod. */
  cordons?: (Marked & { region: string })[];
  /** Too many automatic changes of region: there are no more until `ack`. */
  flapping?: Marked | null;
  blocked: string | null;
  successor: string | null;
  /** The newest change, `null` before the first. */
  last: Receipt | null;
  /** By the asked pod's configuration: regions, the most preferred first, and those that never take the lock. */
  preference?: { order: string[]; never: string[] };
  /** Gaps of the latest planned switches with a known one, newest first, in ms; only where asked for. */
  recentGapsMs?: number[];
}

export interface ProbeResult {
  ready: boolean;
  /** Names each failed check, or says that all passed. */
  why: string;
  /** What the pod looked at; an older pod does not tell. */
  checks?: Pick<Check, 'check' | 'passed' | 'why'>[];
}

/** What a hook is told. */
export interface HookQuestion {
  lock: string;
  hook: string;
  stage: HookStage;
  switchId: string;
  from: { region: string; pod: string; token: number };
  /** The region asked for; `null` for any other. */
  to: string | null;
  reason: string;
  by: string;
  /** After the release. */
  receipt: Receipt | null;
}

export interface AwaitSuccessorInput {
  lock: string;
  switchId: string;
  waitMs: number;
}
export interface AwaitSuccessorResult {
  holder: Tenure | null;
  /** Complete once the new holder has started its first message. */
  receipt: Receipt | null;
}

/** What one pod does for a region workflow; each call runs on that pod's own task queues. */
export interface PodActivities {
  /** On `<queue>/stand`: the pod stands for the lock. */
  awaitTenure(input: AwaitTenureInput): Promise<AwaitTenureResult>;
  /** Stops standing. */
  standDown(input: InstructionStamp): Promise<void>;
  /** Makes sure that the tenure's listener consumes; idempotent. */
  startListener(input: TenureInput): Promise<StartListenerResult>;
  renewLease(input: TenureInput): Promise<RenewLeaseResult>;
  drainAndHandOver(input: DrainAndHandOverInput): Promise<HandOverOutcome>;
  releaseLock(input: ReleaseLockInput): Promise<ReleaseOutcome>;
  /** Commits `aborted/<switch id>`; of that and the hand-over the one that commits first decides. */
  abortSwitch(input: { lock: string; switchId: string; why: string }): Promise<void>;
  /** Asked again under its switch id it answers the same. */
  force(input: { lock: string; force: Force }): Promise<ForceOutcome>;
  /** Kills the pod, so that no answer comes; answers only when it does not. */
  crash(input: CrashInput): Promise<CrashOutcome>;
  /** Idempotent: asked again it answers that nothing has changed. */
  mark(input: { lock: string; mark: Mark }): Promise<MarkResult>;
  inspectLock(input: InspectInput): Promise<LockTruth>;
  probe(input: InspectInput): Promise<ProbeResult>;
  awaitSuccessor(input: AwaitSuccessorInput): Promise<AwaitSuccessorResult>;
  /** Asks a hook of this pod's configuration; after the release its answer goes into the receipt in etcd. */
  runHook(input: HookQuestion): Promise<SwitchAnswer>;
}

export { podQueue, regionTaskQueue, regionWorkflowId } from './names';
