import type { ChangeCause } from '../../workflows/contract';
import type { TokenChange, Verdict } from './ledger-checker';
import { count } from './live-view';

/** Something that the demo did to its system, or asked of it. */
export interface Disturbance {
  kind: 'switch' | 'kill-pod' | 'kill-listener';
  what: string;
  /** The token it was done to. The change it caused is the next one. */
  token: number;
  /** On the monotonic clock. */
  t: bigint;
  wall: number;
  /** Wall clock of the dead pod's last confirmed extension. */
  lastExtension: number | null;
}

export interface ReportedChange extends TokenChange {
  /** `null` for a change that the demo did not bring about. */
  disturbance: Disturbance | null;
  /**
   * Until the first message of the new holder: since a killed pod's last confirmed extension (since its kill,
   * where that is not known), since a listener's kill; `null` for a planned switch, which breaks nothing.
   */
  recoveryMs: number | null;
}

export interface Finding {
  /** A guarantee must hold on any machine; an expectation says how fast it was on this one. */
  kind: 'guarantee' | 'expectation';
  ok: boolean;
  what: string;
  found: string;
}

export interface ReportInput {
  verdict: Verdict;
  disturbances: Disturbance[];
  leaseTtlMs: number;
  concurrency: number;
}

const PLANNED_GAP_MS = 50;
const LISTENER_BACK_MS = 250;
const AFTER_LEASE_MS = 1_000;

export function reportChanges({ verdict, disturbances }: ReportInput): ReportedChange[] {
  // The first tenure took the lock from nobody.
  const changes = verdict.changes.filter(({ from }) => from !== null);
  return changes.map((change) => {
    const caused = ({ token }: Disturbance) => changes.find(({ to }) => to.token > token) === change;
    const disturbance = disturbances.find(caused) ?? null;
    return { ...change, disturbance, recoveryMs: recoveryOf(change, disturbance) };
  });
}

function recoveryOf(change: TokenChange, disturbance: Disturbance | null): number | null {
  if (!disturbance || disturbance.kind === 'switch' || change.firstStartNs === null) return null;
  const sinceMs = Number(change.firstStartNs - disturbance.t) / 1e6;
  if (disturbance.lastExtension === null) return sinceMs;
  return sinceMs + (disturbance.wall - disturbance.lastExtension);
}

export function judge(input: ReportInput, changes: ReportedChange[]): Finding[] {
  const { verdict, disturbances, concurrency, leaseTtlMs } = input;
  const kills = disturbances.filter(({ kind }) => kind !== 'switch').length;
  const forbidden = verdict.duplicates.filter(({ allowed }) => !allowed).length;
  const allowed = verdict.duplicates.length - forbidden;
  const silent = changes.filter(({ cause }) => cause === null).length;
  const unanswered = disturbances.filter((each) => !changes.some(({ disturbance }) => disturbance === each));
  const causes: Record<Disturbance['kind'], ChangeCause> = {
    ...{ switch: 'switch', 'kill-pod': 'takeover', 'kill-listener': 'listener-restart' },
  };
  const of = (kind: Disturbance['kind']): ReportedChange[] =>
    changes.filter(({ disturbance, cause }) => disturbance?.kind === kind && cause === causes[kind]);
  return [
    guarantee(
      'every published message was processed',
      verdict.lost.length === 0,
      `${verdict.lost.length} lost`,
    ),
    guarantee(
      'no two tenures worked at the same time',
      verdict.overlaps === 0,
      `${verdict.overlaps} overlapping pairs`,
    ),
    guarantee(
      'tokens only grew',
      verdict.tokensMonotonic,
      verdict.tokensMonotonic ? 'in order' : 'went back',
    ),
    guarantee('nothing was processed twice in a planned switch', forbidden === 0, `${forbidden} duplicates`),
    guarantee(
      `a kill repeats at most what was in flight (${concurrency})`,
      allowed <= kills * concurrency,
      `${allowed} duplicates in ${kills} kills`,
    ),
    guarantee('every change of holder left a receipt', silent === 0, `${silent} without`),
    guarantee(
      'every switch and every kill had a new holder',
      unanswered.length === 0,
      unanswered.length === 0
        ? `${changes.length} changes`
        : `none after: ${unanswered.map(({ what }) => what).join('; ')}`,
    ),
    expectation(
      `planned switches: median gap under ${PLANNED_GAP_MS} ms`,
      median(gaps(of('switch'))),
      PLANNED_GAP_MS,
    ),
    expectation(
      `killed listener: back in under ${LISTENER_BACK_MS} ms`,
      worst(recoveries(of('kill-listener'))),
      LISTENER_BACK_MS,
    ),
    expectation(
      `killed pod: recovered ${(leaseTtlMs + AFTER_LEASE_MS) / 1000} s after its last extension`,
      worst(recoveries(of('kill-pod'))),
      leaseTtlMs + AFTER_LEASE_MS,
    ),
  ];
}

/** The one line of `--json`. */
export function reportJson(verdict: Verdict, changes: ReportedChange[]): string {
  return JSON.stringify({
    published: verdict.published,
    processed: verdict.processed,
    lost: verdict.lost.length,
    duplicates: verdict.duplicates.length,
    overlaps: verdict.overlaps,
    tokensMonotonic: verdict.tokensMonotonic,
    changes: changes.map(({ cause, from, to, drained, gapMs, recoveryMs }) => ({
      cause,
      from: from?.pod ?? null,
      to: to.pod,
      tokenBefore: from?.token ?? null,
      tokenAfter: to.token,
      drained,
      gapMs: rounded(gapMs),
      recoveryMs: rounded(recoveryMs),
    })),
  });
}

export function reportText(verdict: Verdict, changes: ReportedChange[], findings: Finding[]): string {
  const rows = changes.map(({ cause, from, to, drained, gapMs, recoveryMs }) => [
    cause ?? 'no receipt',
    from?.pod ?? '-',
    to.pod,
    `${from?.token ?? '-'} → ${to.token}`,
    drained === null ? '-' : String(drained),
    time(gapMs),
    time(recoveryMs),
  ]);
  const repeated = verdict.duplicates.filter(({ allowed }) => allowed).length;
  return [
    table([['cause', 'from', 'to', 'tokens', 'drained', 'gap', 'recovery'], ...rows]),
    '',
    `published ${count(verdict.published)}, processed ${count(verdict.processed)}, lost ${verdict.lost.length}, ` +
      `duplicated ${verdict.duplicates.length}${repeated > 0 ? ` (${repeated} by kills)` : ''}, ` +
      `overlapping pairs ${verdict.overlaps}, tokens ${verdict.tokensMonotonic ? 'in order' : 'NOT in order'}`,
    '',
    ...findings.map(({ kind, ok, what, found }) => {
      const mark = kind === 'guarantee' ? (ok ? 'holds ' : 'BROKEN') : ok ? 'met   ' : 'MISSED';
      return `${mark}  ${what}: ${found}`;
    }),
    ...evidence(verdict),
  ].join('\n');
}

/** Where to look when something broke. */
function evidence({ lost, duplicates, overlapExamples }: Verdict): string[] {
  const lines = [
    ...lost.slice(0, 10).map((seq) => `lost: message ${seq}`),
    ...duplicates
      .filter(({ allowed }) => !allowed)
      .slice(0, 10)
      .map(
        ({ seq, first, again }) =>
          `twice: message ${seq} by ${first.pod} (${first.token}), ${again.pod} (${again.token})`,
      ),
    ...overlapExamples.map(
      ([a, b]) => `overlap: message ${a.seq} of ${a.pod} (${a.token}) and ${b.seq} of ${b.pod} (${b.token})`,
    ),
  ];
  return lines.length > 0 ? ['', ...lines] : [];
}

function guarantee(what: string, ok: boolean, found: string): Finding {
  return { kind: 'guarantee', ok, what, found };
}

function expectation(what: string, ms: number | null, boundMs: number): Finding {
  return {
    kind: 'expectation',
    ok: ms !== null && ms <= boundMs,
    what,
    found: ms === null ? 'not measured' : time(ms),
  };
}

function gaps(changes: ReportedChange[]): number[] {
  return changes.flatMap(({ gapMs }) => (gapMs === null ? [] : [gapMs]));
}

function recoveries(changes: ReportedChange[]): number[] {
  return changes.flatMap(({ recoveryMs }) => (recoveryMs === null ? [] : [recoveryMs]));
}

function worst(values: number[]): number | null {
  return values.length === 0 ? null : Math.max(...values);
}

function median(values: number[]): number | null {
  const sorted = values.toSorted((a, b) => a - b);
  const [low, high] = [
    sorted[Math.floor((sorted.length - 1) / 2)],
    sorted[Math.ceil((sorted.length - 1) / 2)],
  ];
  return low === undefined || high === undefined ? null : (low + high) / 2;
}

function rounded(ms: number | null): number | null {
  return ms === null ? null : Math.round(ms * 10) / 10;
}

function time(ms: number | null): string {
  if (ms === null) return '-';
  return Math.abs(ms) < 1000 ? `${ms.toFixed(1)} ms` : `${(ms / 1000).toFixed(2)} s`;
}

function table(rows: string[][]): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return rows
    .map((row) =>
      row
        .map((cell, i) => cell.padEnd(widths[i] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}
