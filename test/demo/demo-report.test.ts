import type { ChangeCause } from '../../workflows/contract';
import {
  type Disturbance,
  judge,
  reportChanges,
  type ReportInput,
  reportJson,
} from '../../src/demo/demo-report';
import type { TokenChange, Verdict } from '../../src/demo/ledger-checker';

const ms = 1_000_000n;

function change(
  cause: ChangeCause | null,
  from: number,
  to: number,
  startMs: number,
  gapMs: number,
): TokenChange {
  const holder = (token: number) => ({ region: 'us-east', pod: `pod-${token}`, token });
  const firstStartNs = BigInt(startMs) * ms;
  return {
    ...{ cause, why: null, from: from === 0 ? null : holder(from), to: holder(to), drained: 2 },
    ...{ lastEndNs: null, firstStartNs, gapMs },
  };
}

function disturbance(
  kind: Disturbance['kind'],
  token: number,
  atMs: number,
  extendedAt?: number,
): Disturbance {
  const wall = 1_000_000 + atMs;
  const lastExtension = extendedAt === undefined ? null : 1_000_000 + extendedAt;
  return { kind, what: `${kind} at ${token}`, token, t: BigInt(atMs) * ms, wall, lastExtension };
}

const good: Verdict = {
  ...{ published: 10, processed: 10, lost: [], duplicates: [], overlaps: 0, overlapExamples: [] },
  ...{ tokensMonotonic: true, cutOff: 0 },
  changes: [
    change('first', 0, 5, 0, 0),
    change('switch', 5, 8, 1020, 20),
    change('takeover', 8, 9, 7000, 4000),
    change('listener-restart', 9, 12, 9030, 30),
  ],
};
const input = (verdict: Partial<Verdict> = {}): ReportInput => ({
  verdict: { ...good, ...verdict },
  disturbances: [
    disturbance('switch', 5, 500),
    disturbance('kill-pod', 8, 3000, 1500),
    disturbance('kill-listener', 9, 9000),
  ],
  ...{ leaseTtlMs: 5000, concurrency: 8 },
});
const broken = (verdict: Partial<Verdict>): string[] => {
  const given = input(verdict);
  const wrong = judge(given, reportChanges(given)).filter(({ ok }) => !ok);
  return wrong.map(({ kind, what }) => `${kind}: ${what}`);
};

describe("the demo's report", () => {
  it('joins each change with what brought it about, and leaves the first tenure out', () => {
    const changes = reportChanges(input());
    expect(changes.map(({ cause, disturbance: by }) => [cause, by?.kind])).toEqual([
      ['switch', 'switch'],
      ['takeover', 'kill-pod'],
      ['listener-restart', 'kill-listener'],
    ]);
  });

  it("counts a pod's recovery from its last extension, a listener's from its kill", () => {
    expect(reportChanges(input()).map(({ recoveryMs }) => recoveryMs)).toEqual([null, 5500, 30]);
  });

  it('finds nothing broken when nothing is', () => {
    expect(broken({})).toEqual([]);
  });

  it.each<[string, Partial<Verdict>, RegExp]>([
    ['a lost message', { lost: [3] }, /^guarantee: every published message/],
    ['an overlap', { overlaps: 1 }, /^guarantee: no two tenures/],
    ['a token that went back', { tokensMonotonic: false }, /^guarantee: tokens only grew/],
    ['a change without a receipt', { changes: [...good.changes, change(null, 12, 13, 9100, 1)] }, /receipt$/],
    [
      'a switch after which nobody went on',
      { changes: good.changes.slice(0, 3) },
      /^guarantee: every switch/,
    ],
    [
      'a slow switch',
      { changes: [change('switch', 5, 8, 1020, 51), ...good.changes.slice(2)] },
      /gap under 50/,
    ],
  ])('names %s', (_, verdict, expected) => {
    expect(broken(verdict)).toContainEqual(expect.stringMatching(expected));
  });

  it('prints exactly the figures asked for', () => {
    const { changes, ...figures } = JSON.parse(reportJson(good, reportChanges(input()))) as Record<
      string,
      unknown
    >;
    expect(figures).toEqual({
      ...{ published: 10, processed: 10, lost: 0, duplicates: 0, overlaps: 0, tokensMonotonic: true },
    });
    expect((changes as unknown[])[0]).toEqual({
      ...{ cause: 'switch', from: 'pod-5', to: 'pod-8', tokenBefore: 5, tokenAfter: 8 },
      ...{ drained: 2, gapMs: 20, recoveryMs: null },
    });
  });
});
