import type {
  Candidate,
  CandidateState,
  ChangeCause,
  Mark,
  Marked,
  MarkResult,
  Receipt,
  SwitchAnswer,
} from '../../workflows/contract';
import type { TraceContext } from '../../workflows/trace-context';

/** The holder key as read; `token` is its mod revision. */
export interface HolderKey {
  region: string;
  pod: string;
  since: string;
  leaseId: string;
  token: number;
}

export interface CandidateKey extends Candidate, CandidateNotes {
  leaseId: string;
  /** `host:port` of the pod's health endpoint; missing from an older pod. */
  health?: string;
  modRevision: number;
}

export interface CordonKey extends Marked {
  region: string;
  modRevision: number;
}

/** What the two sides of a hand-over tell each other while the holder still works. */
export interface CandidateNotes {
  /** In the holder's key: it is about to hand over to this pod, which may consume ahead. */
  offer?: Offer;
  /** In the other's key: the id of the offer for which its listener consumes ahead. */
  preparedFor?: string;
}

/** `id` is the switch id, and so that of the receipt to come. */
export interface Offer {
  id: string;
  region: string;
  pod: string;
  /** The hand-over's span. */
  trace?: TraceContext;
}

/** One consistent, linearizable reading of a lock. A later one has an equal or higher `revision`. */
export interface LockView {
  revision: number;
  raftTerm: number;
  holder: HolderKey | null;
  /** The latest change of holder. Its `to.token` is the mod revision of this key. */
  last: { receipt: Receipt; modRevision: number } | null;
  candidates: CandidateKey[];
  successor: { region: string; switchId: string; modRevision: number } | null;
  /** `leaseId` is `0` as long as nothing ends it. */
  blocked: { why: string; leaseId: string; modRevision: number } | null;
  paused: (Marked & { modRevision: number }) | null;
  /** Automatic changes of region: stopped as long as `tripped` stands; counted since `acked`. */
  flap: { tripped: (Marked & { modRevision: number }) | null; acked: Marked | null };
  /** Regions whose pods may not become holder. */
  cordons: CordonKey[];
}

/** A transaction that writes `holder`. Everything in `view` that it depends on is compared exactly. */
export interface HolderChange {
  /** Id of the receipt; for a planned switch the switch id, whose `aborted/<id>` must then be absent. */
  id: string;
  view: LockView;
  /** Must be in `view.candidates`, ready and standing (a listener restart: merely its own candidate key). */
  to: { region: string; pod: string };
  cause: Exclude<ChangeCause, 'release'>;
  why: string;
  by: string;
  drained?: number;
  requeued?: number;
  lastFinishedAt?: string;
  answers?: SwitchAnswer[];
  /** For the receipt, and so for whoever takes over. No compare looks at it. */
  trace?: TraceContext;
}

/** What a drain found, for the receipt. */
export type DrainFigures = Pick<HolderChange, 'drained' | 'requeued' | 'lastFinishedAt'>;

/** A transaction that deletes `holder` of the tenure `token`. */
export interface Release {
  id: string;
  view: LockView;
  token: number;
  why: string;
  by: string;
  /** Puts `successor` for this region: nobody else may acquire for `windowMs`. */
  towards?: { region: string; windowMs: number };
  /**
   * An operator's: the holder's candidate key goes too, so that it cannot extend any more. With `blocks`, nobody may
   * acquire until `endBlock`.
   */
  force?: { holder: { region: string; pod: string }; blocks: boolean };
  /** The pod's own candidate state, written in the same transaction. */
  candidate?: CandidateWrite;
  drained?: number;
  requeued?: number;
  lastFinishedAt?: string;
}

export interface CandidateWrite extends CandidateNotes {
  region: string;
  pod: string;
  leaseId: string;
  state: CandidateState;
  standing: boolean;
  since: string;
  version: string;
  health?: string;
}

/** `refused` means definitely not applied, and carries the present view. */
export type ChangeResult =
  | { outcome: 'applied'; token: number; receipt: Receipt; view: LockView }
  | { outcome: 'refused'; why: string; view: LockView };

/** As `ChangeResult`, from a process that cannot settle what stayed unanswered: that is left to whoever asked it. */
export type ChangeAnswer = ChangeResult | { outcome: 'unknown'; why: string };

export interface LockWatch {
  close(): void;
}

/**
 * One lock in the lock service. Every method is linearizable and bounded in time by `requestTimeoutMs`.
 * Each throws `UnknownOutcomeError` when no definite answer came: the request may have been applied, or may
 * still be applied later. A lease found gone is a `LostError`.
 */
export interface LockStore {
  readonly lock: string;
  /** `ttlMs` is the granted one. */
  grantLease(ttlMs: number): Promise<{ leaseId: string; ttlMs: number }>;
  /** One keepalive. Does not go through raft: it counts only when confirmed by a later `read`. */
  keepAlive(leaseId: string): Promise<{ ttlMs: number; raftTerm: number }>;
  /** Deletes the lease and its keys. A lease already gone is success. */
  revokeLease(leaseId: string): Promise<void>;
  read(): Promise<LockView>;
  /**
   * Puts the candidate key under its lease. With `whileHolding`, only while `holder` still has that token:
   * an accepted one makes every unanswered hand-over of that tenure impossible, as those compare this key.
   */
  putCandidate(
    candidate: CandidateWrite,
    options?: { whileHolding?: number },
  ): Promise<{ outcome: 'applied' | 'refused'; view: LockView }>;
  /** Acquire, hand over, or begin a new tenure in place: the one builder of transactions that put `holder`. */
  changeHolder(change: HolderChange): Promise<ChangeResult>;
  /**
   * Goes the way of `changeHolder` on keys of its own, with compares that cannot hold: to no effect, but what a process
   * does for the first time in a while takes it many times as long. `change.to` must be a candidate in the view.
   */
  rehearse(change: HolderChange): Promise<void>;
  /** Deletes `holder` if it still has the token; refused when it has not. Safe to repeat until definite. */
  release(release: Release): Promise<ChangeResult>;
  /** Deletes `holder` of a tenure that is over, without a receipt. `refused`: it was not there any more. */
  deleteHolder(token: number): Promise<{ outcome: 'applied' | 'refused'; view: LockView }>;
  /** No more automatic changes of region until the mark `ack`. The first one's words stay. */
  trip(by: string, why: string): Promise<void>;
  /** Lets `blocked`, if it is still as read, end `afterMs` from now. */
  endBlock(blocked: { why: string; modRevision: number }, afterMs: number): Promise<void>;
  /** Sets or takes away an operator's mark. Idempotent: asked again it says that nothing has changed. */
  mark(mark: Mark): Promise<MarkResult>;
  abortSwitch(switchId: string, why: string): Promise<void>;
  isAborted(switchId: string): Promise<boolean>;
  readReceipt(id: string): Promise<Receipt | null>;
  /** Newest first. */
  listReceipts(limit: number): Promise<Receipt[]>;
  /** Adds the first message's start and the gap to the receipt of a tenure. Keeps its create revision. */
  completeReceipt(id: string, firstStartedAt: string): Promise<Receipt | null>;
  /** Adds an answer to the receipt, once for each stage and sender. `null`: there is no such receipt. */
  addAnswer(id: string, answer: SwitchAnswer): Promise<Receipt | null>;
  /** Deletes all but the newest `keep` receipts. */
  trimReceipts(keep: number): Promise<void>;
  /**
   * Calls `onChange` after anything below the lock changed (receipts and attempts aside) and after each
   * reconnect. A hint to read again, with the newest revision seen; events can be late, so also poll.
   */
  watch(onChange: (event: WatchHint) => void): LockWatch;
}

/** What the watch saw; `holder` is present when the event itself carried the holder key's new state. */
export interface WatchHint {
  revision: number;
  holder?: HolderKey | null;
  /** A candidate made or took up an offer: somebody waits for the answer. */
  offering?: true;
}
