/** What the checker says of a run. Everything here can be written as JSON. */

/** - `overlap`: executions under two tokens at the same time; not those frozen across the change.
 * - `outlived-freeze`: such a frozen one went on for long after the thaw, beside a newer tenure.
 * - `stale-start`: a message started under a token after the first start of a newer one.
 * - `token-back`: a tenure began, by its first message or in etcd, under a lower token than the one before it.
 * - `start-without-lock`: a message started long after etcd showed the holder key gone or rewritten.
 * - `unknown-token`: messages under a token that was never a revision of the holder key with that pod.
 * - `lost`: confirmed by the broker, never finished, and not dead-lettered.
 * - `left-behind`: still in the queue at the end.
 * - `duplicate`: finished twice, and nothing that happened explains it.
 * - `duplicate-after-clean-switch`: finished before a planned switch that drained completely, and again after it.
 * - `too-many-duplicates`: explained, but more than `concurrency` of them by one event.
 * - `missing-receipt`, `receipt-twice`, `receipt-wrong`: the receipts do not tell what etcd's revisions tell.
 * - `foreign-holder`: the holder key was overwritten under another lease, with no receipt in the same transaction.
 * - `sink-accepted-stale`, `effect-twice`: the token-checking store took what it had to refuse.
 * - `effect-missing`: a message was finished, and the store that keeps an inbox has nothing of it.
 * - `effect-unknown`: that store took a message that was never published.
 * - `workflow-failed`, `workflow-task-failures`, `workflow-disagrees`: Temporal's histories.
 * - `missing-evidence`, `unreadable`: the run folder cannot be judged in full. */
export const violationKinds = [
  'overlap',
  'outlived-freeze',
  'stale-start',
  'token-back',
  'start-without-lock',
  'unknown-token',
  'lost',
  'left-behind',
  'duplicate',
  'duplicate-after-clean-switch',
  'too-many-duplicates',
  'missing-receipt',
  'receipt-twice',
  'receipt-wrong',
  'foreign-holder',
  'sink-accepted-stale',
  'effect-twice',
  'effect-missing',
  'effect-unknown',
  'workflow-failed',
  'workflow-task-failures',
  'workflow-disagrees',
  'missing-evidence',
  'unreadable',
] as const;

export type ViolationKind = (typeof violationKinds)[number];

export interface Violation {
  kind: ViolationKind;
  /** One sentence. Of many alike (the same kind, lock and tokens) it says how many and shows the first. */
  text: string;
  /** What all logs say around it, on one time axis: several lines, to be printed. Empty when it has no moment. */
  interleaving: string;
}

/** Milliseconds from the last message finished under the former token to the first one started under the next. */
export interface GapStatistics {
  n: number;
  p50: number;
  p99: number;
  max: number;
}

export interface CheckReport {
  /** As in `run.json`. */
  seed: number | string | null;
  minutes: number | null;
  /** Faults that began, by kind. */
  faults: Record<string, number>;
  /** Tokens in etcd or in the ledgers, of all locks. */
  tenures: number;
  /** Messages confirmed by the broker. */
  published: number;
  /** Of those, finished at least once. */
  processed: number;
  lost: number;
  /** Times that a message was finished again. */
  duplicatesAllowed: number;
  duplicatesForbidden: number;
  /** Pairs of executions under different tokens at the same time that nothing excuses. */
  overlaps: number;
  /** Executions that overlapped a newer tenure, having been frozen across the change: only the token at the store covers them. */
  staleEffects: number;
  /** Messages started under a token after the first start of a newer one. */
  staleStarts: number;
  /** Messages of which the store that keeps an inbox has an effect. */
  effects: number;
  /** Writes that the token-checking store refused because of their token. */
  refusedEffects: number;
  /** By cause: the receipt's, and the fault just before, as in `takeover after kill-pod`. */
  gaps: Record<string, GapStatistics>;
  violations: Violation[];
}
