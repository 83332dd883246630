import { type BenchReport, resultOf } from '../../src/bench/bench';
import type { Conditions } from '../../src/bench/bench-file';
import { reportJson, reportText } from '../../src/bench/bench-table';
import { htmlReport } from '../../src/bench/html-report';

const place = { bench: 'switch', variant: 'near', unit: 'ms' };
const report: BenchReport = {
  results: [
    resultOf({ ...place, system: 'baton' }, [6, 7, 8]),
    resultOf({ ...place, system: 'etcd <election>' }, [14, 14, 140]),
    resultOf({ ...place, system: 'curator' }, []),
  ],
  goals: [
    { goal: 'p50 small', target: '≤ 8 ms', measured: '7 ms', met: true },
    { goal: 'max small', target: '≤ 5 ms', measured: '8 ms', met: false },
  ],
  notes: ['curator was skipped (--skip)'],
};

const conditions: Conditions = {
  ...{ date: '2026-01-02T03:04:05.000Z', baton: '0.1.0', commit: null, node: 'v20', cpu: 'a processor' },
  ...{ cores: 2, memoryGb: 8, kernel: 'Linux', servers: { etcd: '3.4' }, arguments: [] },
};

test('the table stands systems side by side, with the ratio of Baton to each', () => {
  const lines = reportText(report).split('\n');
  expect(lines.slice(0, 4)).toEqual([
    'bench   variant  system           n  p50  p95  max  unit  Baton ÷ it',
    'switch  near     baton            3  7    8    8    ms',
    'switch  near     etcd <election>  3  14   140  140  ms    0.50 ×',
    'switch  near     curator          0  –    –    –    ms',
  ]);
});

test('goals are told met or missed, then come the notes', () => {
  const text = reportText(report);
  expect(text).toMatch(/^met +p50 small +≤ 8 ms +7 ms$/m);
  expect(text).toMatch(/^MISSED +max small +≤ 5 ms +8 ms$/m);
  expect(text.endsWith('notes\n- curator was skipped (--skip)')).toBe(true);
});

test('the line of JSON has the figures and goals, and no samples', () => {
  const line = reportJson(report);
  expect(line).not.toContain('\n');
  const { results, goals } = JSON.parse(line) as { results: unknown[]; goals: unknown[] };
  expect(results[0]).toEqual({ ...place, system: 'baton', n: 3, p50: 7, p95: 8, p99: 8, max: 8 });
  expect(goals).toEqual(report.goals);
});

test('the page shows every sample and table, needs nothing from outside, and takes names literally', () => {
  const page = htmlReport({ ...report, conditions }, null);
  expect(page.match(/<circle/g)).toHaveLength(6);
  expect(page).toContain('1 of 2 goals met');
  expect(page).toContain('etcd &lt;election&gt;');
  expect(page).toContain('prefers-color-scheme: dark');
  expect(page).not.toMatch(/<script|<link|src=|url\(|https?:/);
  expect(page).not.toContain('NaN');
});
