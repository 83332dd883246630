import type { ViolationKind } from './check-report';

/** What a run folder holds, as the checker uses it. `ns` is always relative to the beginning of the run. */

export interface LockOfRun {
  lock: string;
  queue: string;
  regions: string[];
  ttlMs: number;
  concurrency: number;
  drainLimitMs: number;
  /** Default: 1,000. */
  verificationMaxAgeMs: number;
}

export interface Published {
  lock: string;
  id: string;
  sentNs: number;
  /** `null`: sent, and no confirmation came. */
  confirmedNs: number | null;
}

export interface LedgerLine {
  event: 'start' | 'end';
  lock: string;
  id: string;
  token: number;
  region: string;
  pod: string;
  pid: number;
  ns: number;
  outcome: string | null;
}

/** One call of the handler. */
export interface Execution {
  lock: string;
  id: string;
  token: number;
  region: string;
  pod: string;
  pid: number;
  startNs: number;
  /** `null`: it never ended. */
  endNs: number | null;
  /** The end, or the last moment at which it certainly still ran. */
  untilNs: number;
  /** Of the end. A handler that threw, or heeded its signal, has not finished the message. */
  ok: boolean;
}

/** A fault with its end; `endNs` is infinite while it lasts to the end of the run. */
export interface Fault {
  key: string;
  kind: string;
  target: string;
  cause: string;
  pids: number[];
  beginNs: number;
  endNs: number;
}

export interface Death {
  pid: number;
  pod: string;
  role: string;
  /** Of the kill, or the last moment at which it was seen alive: never after the death. */
  ns: number;
}

/** By the broker's log: a connection ended that its client had not closed. */
export interface ConnectionEnd {
  lock: string;
  pod: string;
  ns: number;
}

export interface Switch {
  lock: string;
  id: string;
  askedNs: number;
  answeredNs: number | null;
  outcome: string;
  token: number | null;
  drainComplete: boolean | null;
}

export interface EtcdEvent {
  lock: string;
  revision: number;
  /** Without `/baton/<lock>/`. */
  key: string;
  type: 'put' | 'delete';
  value: unknown;
  lease: string | null;
  ns: number;
}

export interface ReceiptKey {
  lock: string;
  key: string;
  createRevision: number;
  value: unknown;
}

export interface Effect {
  lock: string;
  id: string;
  token: number;
  ns: number;
  accepted: boolean;
  reason: string;
  /** The store's own order, where it gives one; else `ns` decides. */
  sequence: number | null;
}

export interface QueueAtEnd {
  lock: string;
  ready: number;
  unacked: number;
  deadLettered: number;
}

export interface WorkflowHistory {
  file: string;
  workflowId: string | null;
  events: Record<string, unknown>[];
}

export interface LogLine {
  source: string;
  ns: number;
  text: string;
}

export interface RunEvidence {
  seed: number | string | null;
  minutes: number | null;
  locks: LockOfRun[];
  /** Kinds of evidence that this run says it does not have, as `receipts` of a system without any. */
  without: ReadonlySet<string>;
  published: Published[];
  executions: Execution[];
  faults: Fault[];
  deaths: Death[];
  connectionEnds: ConnectionEnd[];
  switches: Switch[];
  etcd: EtcdEvent[];
  receipts: ReceiptKey[];
  effects: Effect[];
  /** The store keeps an inbox: it takes each message once. */
  exactlyOnce: boolean;
  queues: QueueAtEnd[];
  histories: WorkflowHistory[];
  /** What could not be read, or is missing: a sentence each. */
  unreadable: string[];
  missing: string[];
  /** Where to find the logs; they are read only when there is something to show. */
  readLogs: () => LogLine[];
}

/** Something found wrong, before the logs are put beside it. */
export interface Finding {
  kind: ViolationKind;
  text: string;
  lock: string | null;
  /** Found by two checks, it is told once: the same kind, lock and token. */
  token?: number;
  /** Moments worth looking at; the first few are shown. */
  ns: number[];
}
