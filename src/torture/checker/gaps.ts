import type { GapStatistics } from './check-report';
import { asObject, asText } from './json-lines';
import type { Execution, LockOfRun, RunEvidence } from './run-evidence';

/** How long nobody worked, by what began the new tenure. Tenures without a message make no gap. */
export function gapsIn(evidence: RunEvidence): Record<string, GapStatistics> {
  const byCause = new Map<string, number[]>();
  for (const lock of evidence.locks) {
    for (const { cause, gapMs } of gapsOf(evidence, lock)) {
      const known = byCause.get(cause);
      if (known) known.push(gapMs);
      else byCause.set(cause, [gapMs]);
    }
  }
  const inOrder = [...byCause].toSorted(([a], [b]) => a.localeCompare(b));
  return Object.fromEntries(inOrder.map(([cause, gaps]) => [cause, statistics(gaps)]));
}

function* gapsOf(
  evidence: RunEvidence,
  { lock, ttlMs }: LockOfRun,
): Generator<{ cause: string; gapMs: number }> {
  const causes = new Map(
    evidence.receipts
      .filter((each) => each.lock === lock)
      .map(({ createRevision, value }) => [createRevision, asText(asObject(value)?.['cause'], 'unknown')]),
  );
  const tenures = tenuresOf(evidence.executions.filter((each) => each.lock === lock));
  for (const [i, { token, firstNs }] of tenures.entries()) {
    // A handler frozen across the change ends later, and fills no gap.
    const lastNs = tenures[i - 1]?.endsNs.findLast((endNs) => endNs <= firstNs);
    if (lastNs === undefined) continue;
    const cause = causes.get(token) ?? 'unknown';
    // A planned switch is one, whatever else happens at the time.
    const fault = evidence.faults.findLast(
      ({ beginNs }) => beginNs >= lastNs - ttlMs * 1e6 && beginNs <= firstNs,
    );
    const named = fault && cause !== 'switch' ? `${cause} after ${fault.kind}` : cause;
    yield { cause: named, gapMs: (firstNs - lastNs) / 1e6 };
  }
}

function tenuresOf(executions: Execution[]) {
  const tenures = new Map<number, { token: number; firstNs: number; endsNs: number[] }>();
  for (const { token, startNs, endNs } of executions) {
    let tenure = tenures.get(token);
    if (!tenure) tenures.set(token, (tenure = { token, firstNs: startNs, endsNs: [] }));
    if (endNs !== null) tenure.endsNs.push(endNs);
  }
  for (const { endsNs } of tenures.values()) endsNs.sort((a, b) => a - b);
  return [...tenures.values()].toSorted((a, b) => a.token - b.token);
}

/** The p-th percentile is the smallest value that at least p % of all reach or stay below. */
function statistics(values: number[]): GapStatistics {
  const sorted = values.toSorted((a, b) => a - b);
  const percentile = (p: number): number =>
    round(sorted[Math.max(0, Math.ceil((p / 100) * sorted.length) - 1)] ?? 0);
  return { n: sorted.length, p50: percentile(50), p99: percentile(99), max: percentile(100) };
}

const round = (value: number): number => Math.round(value * 100) / 100;
