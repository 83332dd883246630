/** What the dashboard's server sends to its page and to `baton top`. Plain data; times in ms since 1970 unless said. */
import type { Marked, Receipt, RegionStatus, SwitchOutcome } from '../../workflows/contract';
import type { EndedDrill } from '../client/operations';

export type LaneState =
  /** Holds the lock. */
  | 'active'
  /** Holds it, has been told to hand over, and finishes what is in flight. */
  | 'draining'
  /** Nobody holds the lock, and this region held it last. */
  | 'gap'
  /** A pod is ready, and told to take the lock whenever it may. */
  | 'standby'
  /** Pods are registered, and none could take over. */
  | 'not-ready'
  /** No pod of the region has a living lease in etcd. */
  | 'unreachable'
  /** etcd does not answer: nobody here knows. */
  | 'unknown';

export interface LaneSpan {
  state: LaneState;
  from: number;
  /** `null`: until now. */
  to: number | null;
  /** Id of the receipt that the span begins with. */
  receipt?: string;
  /** The holder died without a word: somewhere within the span it stopped. */
  atMost?: true;
}

/** Of the last ten seconds. `null` where nothing was measured. */
export interface Figures {
  /** Messages processed per second. */
  rate: number | null;
  /** ms in the handler, read from a histogram's buckets. */
  handlerP50: number | null;
  handlerP99: number | null;
  /** ms from receiving a message until etcd had confirmed the tenure. */
  guardP50: number | null;
  guardP99: number | null;
  inFlight: number | null;
}

export interface Totals {
  processed: number;
  failed: number;
  deadLettered: number;
}

export interface PodCard {
  pod: string;
  region: string;
  state: string;
  standing: boolean;
  /** ISO 8601: of the state. */
  since: string;
  version: string;
  holds: boolean;
  /** What its own endpoint says; `away`: it could not be asked. */
  health: { verdict: 'ok' | 'bad' | 'away' | 'not-asked'; why: string };
  figures: Figures;
  totals: Totals | null;
}

export interface RegionCard {
  region: string;
  state: LaneState;
  cordoned: Marked | null;
  /** `null`: its workflow has not been asked yet. */
  workflow: 'running' | 'not-running' | 'away' | null;
  phase: RegionStatus['phase'] | null;
  /** The workflow's last decision, or why there is none. */
  why: string;
  workflowUrl: string | null;
}

export interface LockCard {
  lock: string;
  leaseTtlMs: number;
  holder: { region: string; pod: string; token: number; since: string } | null;
  /** As read at `readAt`; whole seconds. `null` without a holder. */
  ttlLeftMs: number | null;
  /** When etcd was last read; 0 for never. */
  readAt: number;
  /** Since when nobody holds it. */
  freeSince: number | null;
  paused: Marked | null;
  flapping: Marked | null;
  blocked: string | null;
  successor: string | null;
  regions: RegionCard[];
  pods: PodCard[];
  switchUnderWay: SwitchOutcome | null;
  expectedGap: string;
  figures: Figures;
  totals: Totals | null;
  etcdAway: { since: number; why: string } | null;
}

export interface LockHistory {
  lock: string;
  /** Newest first. */
  receipts: Receipt[];
  lanes: Record<string, LaneSpan[]>;
  drills: EndedDrill[];
}

/** Columns for a chart: times in seconds, then rate, handler p50 and p99 in ms. */
export type Series = [number[], (number | null)[], (number | null)[], (number | null)[]];

export interface TemporalCard {
  away: { since: number; why: string } | null;
  /** Whether it has answered yet. */
  asked: boolean;
}

export interface ActionRecord {
  id: string;
  lock: string;
  action: 'switch' | 'pause' | 'resume' | 'approve' | 'veto' | 'abort';
  to: string | null;
  reason: string;
  by: string;
  at: number;
  /** In one sentence each. */
  steps: string[];
  outcome: 'running' | 'done' | 'failed';
  why: string;
}

export interface Snapshot {
  version: string;
  now: number;
  /** Names of who may act: empty when nobody can. */
  actions: 'off' | 'token' | 'proxy';
  regions: string[];
  temporal: TemporalCard;
  locks: { card: LockCard; history: LockHistory; series: Series }[];
  actionsTaken: ActionRecord[];
}

/** Name and content of each event of the stream. */
export interface FeedEvents {
  snapshot: Snapshot;
  lock: LockCard;
  history: LockHistory;
  /** One more sample of each lock. */
  samples: { at: number; of: Record<string, Figures> };
  temporal: TemporalCard;
  action: ActionRecord;
}
