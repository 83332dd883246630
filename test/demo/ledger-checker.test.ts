import fc from 'fast-check';
import type { ChangeCause, Receipt } from '../../workflows/contract';
import { checkLedger, type LedgerEvidence } from '../../src/demo/ledger-checker';
import type { LedgerProcess, LedgerRecord } from '../../src/demo/ledger';

const ms = 1_000_000n;

/** What one process did under one token: `[seq, start, end]` in ms; `null` for one that never ended. */
interface Work {
  pid: number;
  token: number;
  region?: string;
  runs: [seq: number, start: number, end: number | null][];
}

function processesOf(works: Work[]): LedgerProcess[] {
  const byPid = new Map<number, LedgerRecord[]>();
  for (const { pid, token, region = 'us-east', runs } of works) {
    const records = byPid.get(pid) ?? [];
    byPid.set(pid, records);
    for (const [seq, start, end] of runs) {
      const record = { seq, token, region, pod: `${region}-${pid}`, wall: 0 };
      records.push({ ...record, event: 'start', t: BigInt(start) * ms });
      if (end !== null) records.push({ ...record, event: 'end', t: BigInt(end) * ms });
    }
  }
  return [...byPid].map(([pid, records]) => ({ pid, records }));
}

function receipt(token: number, cause: ChangeCause): Receipt {
  return {
    ...{ id: `r${token}`, lock: 'orders', cause, why: `because of ${cause}`, by: 'test', from: null },
    ...{ to: { region: 'us-east', pod: 'us-east-1', token }, at: '', drained: 3, requeued: 2 },
    ...{ lastFinishedAt: null, firstStartedAt: null, gapMs: null },
  };
}

function check(works: Work[], more: Partial<LedgerEvidence> = {}) {
  const published = new Set(works.flatMap(({ runs }) => runs.map(([seq]) => seq)));
  return checkLedger({
    published,
    processes: processesOf(works),
    receipts: [],
    deaths: [],
    concurrency: 2,
    ...more,
  });
}

/** Two tenures in two processes, nothing wrong with them. */
const clean: Work[] = [
  { pid: 1, token: 10, region: 'us-east', runs: [[1, 0, 2], [2, 1, 3], [3, 4, 6]] }, // prettier-ignore
  { pid: 2, token: 20, region: 'us-west', runs: [[4, 10, 12], [5, 11, 13]] }, // prettier-ignore
];

describe('the ledger checker', () => {
  /** Message 1 fails at first under token 10, and is then worked on for good, there or elsewhere. */
  const withFailure = (again: Work): LedgerProcess[] => {
    const [failed] = processesOf([{ pid: 1, token: 10, runs: [[1, 0, 2]] }]);
    failed!.records[1]!.event = 'fail';
    const rest = processesOf([again])[0]!;
    return again.pid === 1 ? [{ pid: 1, records: [...failed!.records, ...rest.records] }] : [failed!, rest];
  };

  it('takes a failed call for work that has ended and finished nothing', () => {
    const [here, elsewhere]: Work[] = [
      { pid: 1, token: 10, runs: [[1, 3, 5]] }, // prettier-ignore
      { pid: 2, token: 20, runs: [[1, 3, 5]] }, // prettier-ignore
    ];
    for (const again of [here!, elsewhere!]) {
      const verdict = check([again], { processes: withFailure(again) });
      expect(verdict).toMatchObject({ lost: [], duplicates: [], overlaps: 0, cutOff: 0, processed: 1 });
    }
    const alone = check([here!], {
      processes: withFailure(here!).map(({ pid, records }) => ({ pid, records: records.slice(0, 2) })),
    });
    expect(alone).toMatchObject({ lost: [1], processed: 0 });
  });

  it('finds nothing wrong with a clean switch, and measures its gap', () => {
    const verdict = check(clean, { receipts: [receipt(20, 'switch'), receipt(10, 'first')] });
    expect(verdict).toMatchObject({ published: 5, processed: 5, lost: [], duplicates: [], overlaps: 0 });
    expect(verdict).toMatchObject({ tokensMonotonic: true, cutOff: 0 });
    expect(verdict.changes).toMatchObject([
      { cause: 'first', from: null, to: { token: 10 }, gapMs: null },
      {
        cause: 'switch',
        from: { token: 10 },
        to: { token: 20 },
        gapMs: 4,
        drained: 3,
        why: 'because of switch',
      },
    ]);
  });

  it('finds two tenures that overlap by a single message', () => {
    const verdict = check([clean[0]!, { ...clean[1]!, runs: [[4, 5, 7]] }]);
    expect(verdict.overlaps).toBe(1);
    expect(verdict.overlapExamples).toMatchObject([[{ seq: 3 }, { seq: 4 }]]);
  });

  it('counts a message that starts in the very instant in which another tenure ends one', () => {
    expect(check([clean[0]!, { ...clean[1]!, runs: [[4, 6, 7]] }]).overlaps).toBe(1);
  });

  it('counts a message without an end as running until its process died', () => {
    const works: Work[] = [
      { pid: 1, token: 10, runs: [[1, 0, null]] },
      { pid: 2, token: 20, runs: [[2, 5, 6]] },
    ];
    expect(check(works, { deaths: [{ pid: 1, t: 7n * ms }] }).overlaps).toBe(1);
    expect(check(works, { deaths: [{ pid: 1, t: 4n * ms }] }).overlaps).toBe(0);
    expect(check(works)).toMatchObject({ overlaps: 0, cutOff: 1 });
  });

  it('counts it until the last line of a process that lived on', () => {
    const works: Work[] = [
      { pid: 1, token: 10, runs: [[1, 0, null]] },
      { pid: 2, token: 20, runs: [[2, 5, 6]] },
      { pid: 1, token: 30, runs: [[3, 9, 10]] },
    ];
    // The hanging message overlaps that of token 20 and, being of another token, that of its own process.
    expect(check(works).overlaps).toBe(2);
  });

  it('does not call messages of one tenure overlapping', () => {
    expect(check([{ pid: 1, token: 10, runs: [[1, 0, 9], [2, 1, 8], [3, 2, 7]] }]).overlaps).toBe(0); // prettier-ignore
  });

  it('finds a lost message, also one that was started', () => {
    expect(check(clean, { published: [1, 2, 3, 4, 5, 6] }).lost).toEqual([6]);
    expect(check([...clean, { pid: 3, token: 20, runs: [[7, 20, null]] }]).lost).toEqual([7]);
  });

  it('finds a token that goes back', () => {
    expect(check([clean[0]!, { ...clean[1]!, token: 9 }]).tokensMonotonic).toBe(false);
  });

  it('forbids a duplicate after a clean switch', () => {
    const verdict = check([clean[0]!, { ...clean[1]!, runs: [[3, 10, 12], [4, 11, 13]] }]); // prettier-ignore
    expect(verdict.duplicates).toMatchObject([
      { seq: 3, allowed: false, first: { token: 10 }, again: { token: 20 } },
    ]);
    expect(verdict).toMatchObject({ published: 4, processed: 4 });
  });

  it('allows one whose acknowledgement was cut off by a kill', () => {
    const works: Work[] = [clean[0]!, { ...clean[1]!, runs: [[3, 10, 12], [4, 11, 13]] }]; // prettier-ignore
    const verdict = check(works, { deaths: [{ pid: 1, t: 7n * ms }] });
    expect(verdict.duplicates).toMatchObject([{ seq: 3, allowed: true }]);
  });

  it('does not call a message a duplicate that a kill cut off and another tenure finished', () => {
    const works: Work[] = [
      { pid: 1, token: 10, runs: [[1, 0, 2], [2, 1, null]] }, // prettier-ignore
      { pid: 2, token: 20, runs: [[2, 10, 12]] },
    ];
    const verdict = check(works, { deaths: [{ pid: 1, t: 3n * ms }] });
    expect(verdict).toMatchObject({ lost: [], duplicates: [], cutOff: 1 });
  });

  it('allows no more than `concurrency` duplicates per kill', () => {
    const works: Work[] = [
      { pid: 1, token: 10, runs: [[1, 0, 2], [2, 1, 3], [3, 4, 6]] }, // prettier-ignore
      { pid: 2, token: 20, runs: [[1, 10, 12], [2, 10, 12], [3, 10, 12]] }, // prettier-ignore
    ];
    const { duplicates } = check(works, { deaths: [{ pid: 1, t: 7n * ms }] });
    expect(duplicates.map(({ seq, allowed }) => [seq, allowed])).toEqual([
      [1, false],
      [2, true],
      [3, true],
    ]);
  });

  it('does not excuse with a kill what was finished in an earlier tenure of the process, or long before', () => {
    const works: Work[] = [
      { pid: 1, token: 10, runs: [[1, 0, 2]] },
      { pid: 1, token: 20, runs: [[2, 10, 12], [3, 1500, 1502]] }, // prettier-ignore
      { pid: 2, token: 30, runs: [[1, 2000, 2001], [2, 2000, 2001], [3, 2000, 2001]] }, // prettier-ignore
    ];
    const { duplicates } = check(works, { deaths: [{ pid: 1, t: 1510n * ms }], concurrency: 9 });
    expect(duplicates.map(({ seq, allowed }) => [seq, allowed])).toEqual([
      [1, false],
      [2, false],
      [3, true],
    ]);
  });

  it('shows a change without a receipt, and a tenure that had no message', () => {
    const verdict = check(clean, { receipts: [receipt(10, 'first'), receipt(15, 'takeover')] });
    expect(verdict.changes.map(({ cause, to, gapMs }) => [cause, to.token, gapMs])).toEqual([
      ['first', 10, null],
      ['takeover', 15, null],
      [null, 20, null],
    ]);
  });

  it('refuses a ledger in which a message ends without having started', () => {
    const [east] = processesOf([clean[0]!]);
    const broken = { pid: 1, records: east!.records.slice(1) };
    expect(() => check([], { processes: [broken] })).toThrow(/ended in process 1 without having started/);
  });

  it('agrees with a naive reading of random ledgers', () => {
    const run = fc.record({
      ...{ seq: fc.nat(8), pid: fc.nat(2), token: fc.integer({ min: 1, max: 4 }) },
      ...{ start: fc.nat(40), length: fc.option(fc.nat(6)) },
    });
    fc.assert(
      fc.property(fc.array(run, { maxLength: 25 }), (runs) => {
        // Within a process, the lines are in the order of time and the same message never runs twice at once.
        const kept = runs
          .toSorted((a, b) => a.start - b.start)
          .filter(
            (a, i) =>
              !runs.slice(0, i).some((b) => a.seq === b.seq && a.token === b.token && a.pid === b.pid),
          );
        const lastLine = (pid: number) =>
          Math.max(...kept.filter((a) => a.pid === pid).map(({ start, length }) => start + (length ?? 0)));
        const until = ({ pid, start, length }: (typeof kept)[number]) =>
          length === null ? lastLine(pid) : start + length;
        let overlaps = 0;
        for (const [i, a] of kept.entries()) {
          for (const b of kept.slice(i + 1)) {
            if (a.token !== b.token && a.start <= until(b) && b.start <= until(a)) overlaps++;
          }
        }
        const ended = kept.filter(({ length }) => length !== null);
        const distinct = new Set(ended.map(({ seq }) => seq)).size;
        const verdict = check(
          kept.map(({ seq, pid, token, start, length }) => ({
            ...{ pid, token, runs: [[seq, start, length === null ? null : start + length]] },
          })),
          { published: [0, 1, 2, 3, 4, 5, 6, 7, 8] },
        );
        expect(verdict.overlaps).toBe(overlaps);
        expect(verdict.processed).toBe(distinct);
        expect(verdict.lost).toHaveLength(9 - distinct);
        expect(verdict.duplicates).toHaveLength(ended.length - distinct);
        expect(verdict.cutOff).toBe(kept.length - ended.length);
        const inOrder = kept.every((a) => kept.every((b) => a.start >= b.start || a.token <= b.token));
        expect(verdict.tokensMonotonic).toBe(inOrder);
      }),
      { numRuns: 500 },
    );
  });

  it('reads 200,000 messages in seconds of computing', () => {
    const runs = Array.from({ length: 200_000 }, (_, i): [number, number, number] => [i, 3 * i, 3 * i + 2]);
    // Of this process alone: what others take from the machine does not count.
    const before = process.cpuUsage();
    expect(check([{ pid: 1, token: 10, runs }])).toMatchObject({ processed: 200_000, overlaps: 0, lost: [] });
    expect(process.cpuUsage(before).user / 1e6).toBeLessThan(30);
  }, 300_000);
});
