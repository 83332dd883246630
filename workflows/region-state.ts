import type {
  Attempt,
  Marked,
  Receipt,
  RegionPhase,
  RegionTimings,
  StepRecord,
  SwitchAnswer,
  SwitchOutcome,
  Tenure,
} from './contract';
import type { PodAddress, RegionEffect, RegionEvent, SwitchRequest } from './region-event';

/** Everything a region workflow knows. Plain JSON, bounded, handed on by continue-as-new. */
export interface RegionState {
  lock: string;
  region: string;
  phase: RegionPhase;
  /** The tenure of one of this region's pods, until its end is known. */
  tenure: Tenure | null;
  /** The highest token ever seen in this region. A report with a lower or equal one is stale. */
  topToken: number;
  /** The last instruction's number. */
  seq: number;
  pods: PodRecord[];
  /** Token of the beat that is being answered. */
  beating: number | null;
  /** The next beat is due one interval after this, in ms since 1970. */
  beatFrom: number;
  silentBeats: number;
  beat: { at: string; outcome: string; processed: number; inFlight: number } | null;
  switch: SwitchUnderWay | null;
  /** As last reported by a pod. */
  lockPaused: boolean;
  /** The region, too; missing from a state of before there were cordons. */
  cordoned?: Marked | null;
  /** When a switch away from the cordoned region was tried last, in ms since 1970. */
  cordonTriedAt?: number;
  /** When a switch back to a more preferred region was tried last, in ms since 1970. */
  failbackTriedAt?: number;
  /** Newest first, as are the two below. */
  lastSwitches: SwitchOutcome[];
  receipts: Receipt[];
  attempts: Attempt[];
  /** The last decision, in one sentence. */
  why: string;
  runs: number;
  signals: { taken: number; malformed: number };
  /** Taken in but not yet decided upon. Signal handlers push here and do nothing else. */
  inbox: RegionEvent[];
}

export interface PodRecord {
  pod: string;
  queue: string;
  /** Number of the `awaitTenure`, or of the pause before the next, that is open. Other answers are stale. */
  awaiting: number | null;
  /** Unanswered `awaitTenure` in a row. */
  unanswered: number;
  /** Answers in a row that came at once or were errors: each doubles the pause before the next question. */
  hasty: number;
  stopping: boolean;
}

/**
 * preflight: nothing is touched yet.
 * approval: somebody else's word is waited for.
 * before-release: the hooks are asked.
 * drain: `drainAndHandOver` is asked, or will be asked again.
 * abort: it gave no answer; `aborted/<switch id>` is being committed.
 * settle: etcd is asked what happened.
 * after-release: handed over; the hooks are told.
 * successor: handed over; the new holder's first message is awaited.
 * after-takeover: the hooks are told.
 */
export type SwitchStep =
  | 'preflight'
  | 'approval'
  | 'before-release'
  | 'drain'
  | 'abort'
  | 'settle'
  | 'after-release'
  | 'successor'
  | 'after-takeover';

/** In which the old holder works on, and nobody has been told anything. */
export const isUntouched = (step: SwitchStep): boolean =>
  step === 'preflight' || step === 'approval' || step === 'before-release';
/** In which the lock is another pod's. */
export const isHandedOver = (step: SwitchStep): boolean =>
  step === 'after-release' || step === 'successor' || step === 'after-takeover';

export interface SwitchUnderWay {
  request: SwitchRequest;
  /** What is to be given away. */
  tenure: Tenure;
  step: SwitchStep;
  /** Unanswered tries of this step. */
  tries: number;
  targets: PodAddress[];
  receipt: Receipt | null;
  /** One sentence: how far it is. */
  why: string;
  steps?: StepRecord[];
  /** An operator's abort, being committed beside the drain. */
  abort?: { reason: string; by: string };
  /** Whose word is needed, as the preflight found it configured. */
  gates?: SwitchGates;
  /** Oldest first. */
  answers?: SwitchAnswer[];
  /** The approval is waited for until then, in ms since 1970. */
  approvalUntil?: number;
}

export type SwitchGates = Pick<RegionTimings, 'approvalWithinMs' | 'hooks'>;

export interface Transition {
  state: RegionState;
  effects: RegionEffect[];
  why: string;
  /** Whether anything was decided; otherwise `why` is a note. */
  decisive: boolean;
}

export const limits = {
  pods: 50,
  receipts: 20,
  attempts: 20,
  lastSwitches: 20,
  /** Characters of a sentence. */
  text: 500,
  /** Unanswered `awaitTenure` in a row after which a pod is forgotten. It registers again by `podReady`. */
  unanswered: 3,
  /** Refusals or errors in a row after which it is, too. */
  hasty: 12,
  /** `drainAndHandOver` is asked so often before the switch is aborted. */
  drainTries: 3,
  /** ms between two tries to hand over from a cordoned region. */
  cordonRetryMs: 30_000,
  /** ms between two tries to go back to a more preferred region. */
  failbackRetryMs: 60_000,
  /** Steps kept of one switch. */
  steps: 20,
  /** Answers of approval and hooks kept of one switch. */
  answers: 20,
  /** Pods tried in turn for one question. */
  via: 4,
} as const;

export function initialState(lock: string, region: string, startedAt: number): RegionState {
  return {
    lock,
    region,
    phase: 'standby',
    tenure: null,
    topToken: 0,
    seq: startedAt,
    pods: [],
    beating: null,
    beatFrom: startedAt,
    silentBeats: 0,
    beat: null,
    switch: null,
    lockPaused: false,
    lastSwitches: [],
    receipts: [],
    attempts: [],
    why: 'started; no pod has registered yet',
    runs: 1,
    signals: { taken: 0, malformed: 0 },
    inbox: [],
  };
}

/** Whether the run may end here and be continued: nothing is under way that only this run knows. */
export const mayContinueAsNew = ({ phase, switch: underWay, beating }: RegionState): boolean =>
  // An approval may take hours; the state knows what is waited for.
  (underWay === null || underWay.step === 'approval') &&
  beating === null &&
  phase !== 'draining' &&
  phase !== 'handing-over';
