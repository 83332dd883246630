import { table } from '../cli/table';
import type { BenchReport, BenchResult, Goal } from './bench';
import { figure } from './figure';

/** How many times the system's p50 Baton's is; below 1 Baton needs less, or, of a rate, does less. */
export function ratioToBaton(result: BenchResult, results: BenchResult[]): number | null {
  if (result.system === 'baton') return null;
  const baton = results.find(
    ({ system, bench, variant, unit }) =>
      system === 'baton' && bench === result.bench && variant === result.variant && unit === result.unit,
  );
  if (!baton || baton.n === 0 || result.n === 0 || result.p50 === 0) return null;
  return baton.p50 / result.p50;
}

/** Everything that a person reads at the end: figures, goals, notes. */
export function reportText({ results, goals, notes }: BenchReport, width?: number): string {
  const sections = [resultsText(results, width)];
  if (goals.length > 0) sections.push(goalsText(goals, width));
  if (notes.length > 0) sections.push(['notes', ...notes.map((note) => `- ${note}`)].join('\n'));
  return sections.join('\n\n');
}

function resultsText(results: BenchResult[], width?: number): string {
  const rows = results.map((each) => {
    const ratio = ratioToBaton(each, results);
    return [
      each.bench,
      each.variant,
      each.system,
      String(each.n),
      figure(each.p50),
      figure(each.p95),
      figure(each.max),
      each.unit,
      ratio === null ? '' : `${figure(ratio)} ×`,
    ];
  });
  const head = ['bench', 'variant', 'system', 'n', 'p50', 'p95', 'max', 'unit', 'Baton ÷ it'];
  return table(head, rows, width ?? Infinity);
}

function goalsText(goals: Goal[], width?: number): string {
  const rows = goals.map(({ goal, target, measured, met }) => [
    met ? 'met' : 'MISSED',
    goal,
    target,
    measured,
  ]);
  return table(['goal', '', 'target', 'measured'], rows, width ?? Infinity);
}

/** The line of `--json`: figures without samples. */
export function reportJson({ results, goals }: Pick<BenchReport, 'results' | 'goals'>): string {
  return JSON.stringify({
    results: results.map(({ bench, variant, system, n, unit, p50, p95, p99, max }) => ({
      ...{ bench, variant, system, n, unit, p50, p95, p99, max },
    })),
    goals: goals.map(({ goal, target, measured, met }) => ({ goal, target, measured, met })),
  });
}
