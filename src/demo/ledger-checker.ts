/**
 * Decides from the handlers' own notes whether the guarantees held. Written apart from the code that it checks:
 * it imports nothing but types, and believes nobody but the ledger; the receipts only name the changes.
 */
import type { ChangeCause, Receipt } from '../../workflows/contract';
import type { LedgerProcess, LedgerRecord } from './ledger';

export interface LedgerEvidence {
  /** Sequence numbers that the broker has confirmed. */
  published: Iterable<number>;
  processes: LedgerProcess[];
  receipts: Receipt[];
  /** Processes that were killed, and when on the monotonic clock. */
  deaths: { pid: number; t: bigint }[];
  /** Handlers that run at once: the most messages that one death may cause to be worked on twice. */
  concurrency: number;
}

/** One call of the handler. */
export interface Execution {
  seq: number;
  token: number;
  region: string;
  pod: string;
  pid: number;
  startNs: bigint;
  /**
   * `null`: it never ended. It counts as running until its process's death, or, where that is not known,
   * until the last line of that process.
   */
  endNs: bigint | null;
  /** The handler rejected: it worked until `endNs`, and the message counts as not finished. */
  failed?: true;
}

export interface Holder {
  region: string;
  pod: string;
  token: number;
}

/** One change of token, as the messages show it; tenures without a message come from the receipts. */
export interface TokenChange {
  /** `null` when there is no receipt, which breaks a guarantee. */
  cause: ChangeCause | null;
  why: string | null;
  from: Holder | null;
  to: Holder;
  drained: number | null;
  /** Last message finished under the old token. `null` where either side has no message. */
  lastEndNs: bigint | null;
  firstStartNs: bigint | null;
  gapMs: number | null;
}

export interface Verdict {
  published: number;
  /** Distinct messages that were finished at least once. */
  processed: number;
  /** Published and never finished. */
  lost: number[];
  /** Finished more than once, once for each time too often. */
  duplicates: Duplicate[];
  /** Pairs of executions under different tokens that ran at the same time. */
  overlaps: number;
  /** The first few of them. */
  overlapExamples: [Execution, Execution][];
  tokensMonotonic: boolean;
  /** Executions that never ended, because their process was killed. */
  cutOff: number;
  changes: TokenChange[];
}

export interface Duplicate {
  seq: number;
  /** The two times between which it was delivered again. */
  first: Execution;
  again: Execution;
  /** The first time was in flight, or its acknowledgement was, when its process was killed. */
  allowed: boolean;
}

const EXAMPLES = 10;
/** An acknowledgement that has not reached the broker for so long was not merely on its way. */
const ACK_ON_ITS_WAY_NS = 1_000_000_000n;

export function checkLedger(evidence: LedgerEvidence): Verdict {
  const executions = evidence.processes.flatMap(executionsOf);
  executions.sort((a, b) => compare(a.startNs, b.startNs) || a.token - b.token);
  const finished = new Set(executions.filter(isFinished).map(({ seq }) => seq));
  const published = new Set(evidence.published);
  return {
    published: published.size,
    processed: finished.size,
    lost: [...published].filter((seq) => !finished.has(seq)).toSorted((a, b) => a - b),
    duplicates: findDuplicates(executions, evidence),
    ...findOverlaps(executions, evidence),
    tokensMonotonic: executions.every(({ token }, i) => i === 0 || token >= executions[i - 1]!.token),
    cutOff: executions.filter(({ endNs }) => endNs === null).length,
    changes: findChanges(executions, evidence.receipts),
  };
}

/** Joins each end with its start. Within a process, the same message under the same token ends in order. */
function executionsOf({ pid, records }: LedgerProcess): Execution[] {
  const executions: Execution[] = [];
  const open = new Map<string, Execution[]>();
  for (const record of records) {
    const key = `${record.seq}/${record.token}`;
    if (record.event === 'start') {
      const execution = { ...placeOf(record), pid, startNs: record.t, endNs: null };
      executions.push(execution);
      const waiting = open.get(key);
      if (waiting) waiting.push(execution);
      else open.set(key, [execution]);
    } else {
      const waiting = open.get(key);
      const execution = waiting?.shift();
      if (!execution) throw new Error(`message ${record.seq} ended in process ${pid} without having started`);
      if (waiting?.length === 0) open.delete(key);
      execution.endNs = record.t;
      if (record.event === 'fail') execution.failed = true;
    }
  }
  return executions;
}

const isFinished = ({ endNs, failed }: Execution): boolean => endNs !== null && !failed;

function placeOf({ seq, token, region, pod }: LedgerRecord) {
  return { seq, token, region, pod };
}

/**
 * A death excuses messages of the dead process whose acknowledgement it may have cut off: of its last tenure,
 * finished just before, and at most `concurrency` of them. All others that were finished twice are forbidden.
 */
function findDuplicates(executions: Execution[], { deaths, concurrency }: LedgerEvidence): Duplicate[] {
  const lastToken = new Map<number, number>();
  for (const { pid, token } of executions) lastToken.set(pid, Math.max(token, lastToken.get(pid) ?? 0));
  const diedAt = new Map(deaths.map(({ pid, t }) => [pid, t]));

  const bySeq = new Map<number, Execution[]>();
  for (const execution of executions) {
    if (!isFinished(execution)) continue;
    const times = bySeq.get(execution.seq);
    if (times) times.push(execution);
    else bySeq.set(execution.seq, [execution]);
  }
  const duplicates: Duplicate[] = [];
  for (const [seq, times] of bySeq) {
    for (let i = 1; i < times.length; i++) {
      const first = times[i - 1]!;
      const again = times[i]!;
      const death = diedAt.get(first.pid);
      const allowed =
        death !== undefined &&
        first.pid !== again.pid &&
        first.token === lastToken.get(first.pid) &&
        death - first.endNs! <= ACK_ON_ITS_WAY_NS;
      duplicates.push({ seq, first, again, allowed });
    }
  }
  const inOrder = duplicates.toSorted((a, b) => compare(a.first.endNs!, b.first.endNs!));
  const excused = new Map<number, number>();
  // Those that ended last are the likeliest to have been in flight.
  for (const duplicate of inOrder.toReversed()) {
    if (!duplicate.allowed) continue;
    const sofar = excused.get(duplicate.first.pid) ?? 0;
    if (sofar >= concurrency) duplicate.allowed = false;
    else excused.set(duplicate.first.pid, sofar + 1);
  }
  return inOrder;
}

/**
 * Sweeps over all starts and ends in the order of time and counts, at each start, the executions of other
 * tokens that run. Intervals are closed: one that starts in the instant in which another ends overlaps it.
 */
function findOverlaps(
  executions: Execution[],
  { processes, deaths }: LedgerEvidence,
): Pick<Verdict, 'overlaps' | 'overlapExamples'> {
  const gone = new Map<number, bigint>();
  for (const { pid, records } of processes) {
    for (const { t } of records) if (t > (gone.get(pid) ?? 0n)) gone.set(pid, t);
  }
  for (const { pid, t } of deaths) gone.set(pid, t);

  const edges = executions.flatMap((execution) => {
    // A start noted after the recorded time of death still happened.
    const end = execution.endNs ?? gone.get(execution.pid) ?? execution.startNs;
    return [
      { t: execution.startNs, execution, begins: true },
      { t: end > execution.startNs ? end : execution.startNs, execution, begins: false },
    ];
  });
  edges.sort((a, b) => compare(a.t, b.t) || Number(b.begins) - Number(a.begins));

  const running = new Map<number, Set<Execution>>();
  let runningCount = 0;
  let overlaps = 0;
  const overlapExamples: [Execution, Execution][] = [];
  for (const { execution, begins } of edges) {
    let same = running.get(execution.token);
    if (!same) running.set(execution.token, (same = new Set()));
    if (!begins) {
      same.delete(execution);
      runningCount--;
      continue;
    }
    const others = runningCount - same.size;
    overlaps += others;
    if (others > 0 && overlapExamples.length < EXAMPLES) {
      for (const [token, set] of running) {
        if (token === execution.token) continue;
        for (const other of set)
          if (overlapExamples.length < EXAMPLES) overlapExamples.push([other, execution]);
      }
    }
    same.add(execution);
    runningCount++;
  }
  return { overlaps, overlapExamples };
}

function findChanges(executions: Execution[], receipts: Receipt[]): TokenChange[] {
  const tenures = new Map<number, { holder: Holder; first: bigint | null; last: bigint | null }>();
  const receiptOf = new Map<number, Receipt>();
  for (const receipt of receipts) {
    if (!receipt.to) continue;
    receiptOf.set(receipt.to.token, receipt);
    const { region, pod, token } = receipt.to;
    tenures.set(token, { holder: { region, pod, token }, first: null, last: null });
  }
  for (const { token, region, pod, startNs, endNs } of executions) {
    let tenure = tenures.get(token);
    if (!tenure) tenures.set(token, (tenure = { holder: { region, pod, token }, first: null, last: null }));
    if (tenure.first === null || startNs < tenure.first) tenure.first = startNs;
    if (endNs !== null && (tenure.last === null || endNs > tenure.last)) tenure.last = endNs;
  }
  const inOrder = [...tenures.values()].toSorted((a, b) => a.holder.token - b.holder.token);
  return inOrder.map((tenure, i) => {
    const before = inOrder[i - 1];
    const receipt = receiptOf.get(tenure.holder.token);
    const gap = before && before.last !== null && tenure.first !== null ? tenure.first - before.last : null;
    return {
      cause: receipt?.cause ?? null,
      why: receipt?.why ?? null,
      from: before?.holder ?? null,
      to: tenure.holder,
      drained: receipt?.drained ?? null,
      lastEndNs: before?.last ?? null,
      firstStartNs: tenure.first,
      gapMs: gap === null ? null : Number(gap) / 1e6,
    };
  });
}

function compare(a: bigint, b: bigint): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
