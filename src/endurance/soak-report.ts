import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { percentile } from '../bench/bench';
import { type Conditions, conditionsText } from '../bench/bench-file';
import { figure } from '../bench/figure';
import { escapeHtml } from '../bench/strip-plot';
import { fields, table } from '../cli/table';
import { type ChartLine, lineChart } from './line-chart';
import type { SoakResult } from './soak';

const head = ['', 'what', 'first quarter', 'last quarter', 'least', 'most', 'allowed'];

export function soakText(result: SoakResult, conditions: Conditions): string {
  return [
    table(head, tableRows(result), Infinity),
    fields(summary(result)),
    verdictOf(result),
    fields(conditionsText(conditions)),
  ].join('\n\n');
}

/** The line of `--json`: figures without single readings. */
export function soakJson({ plan, rows, readings, ...rest }: SoakResult): string {
  return JSON.stringify({ ...plan, readings: readings.length, rows, ...rest });
}

function tableRows({ rows }: SoakResult): string[][] {
  return rows.map(({ name, unit, first, last, min, max, allowed, limit, leaks }) => [
    leaks ? 'LEAK' : 'flat',
    unit ? `${name} (${unit})` : name,
    ...[first, last, min, max].map(figure),
    limit === null ? `+${figure(allowed)}` : `≤ ${figure(limit)}`,
  ]);
}

function summary({ plan, readings, messages, switches, left, continued }: SoakResult): [string, string][] {
  const gaps = messages.gapsMs.toSorted((a, b) => a - b);
  const { published, processed, lost, overlaps } = messages;
  const twice = messages.duplicates + messages.forbiddenDuplicates;
  const remains = Object.values(left).reduce((sum, count) => sum + count, 0);
  return [
    [
      'soak',
      `${plan.minutes} min, ${plan.locks} locks, ${plan.rate} messages/s, ${readings.length} readings`,
    ],
    [
      'switches',
      `${switches.done} done, ${switches.failed.length} failed, gap p50 ${figure(percentile(gaps, 50))} ms, max ${figure(gaps.at(-1) ?? Number.NaN)} ms`,
    ],
    [
      'messages',
      `${published} published, ${processed} worked on, ${lost} lost, ${twice} twice, ${overlaps} overlapping`,
    ],
    ['histories', `${continued} runs ended by continuing as new`],
    ['at the end', remains === 0 ? 'nothing of the pods was left' : JSON.stringify(left)],
  ];
}

const verdictOf = ({ problems }: SoakResult): string =>
  problems.length === 0 ? 'verdict: nothing leaks' : ['verdict: NOT clean', ...problems].join('\n- ');

/** One file without outside assets: the verdict, the table, and how everything went over time. */
export function writeSoakHtml(file: string, result: SoakResult, conditions: Conditions): void {
  mkdirSync(dirname(resolve(file)), { recursive: true });
  const list = (rows: [string, string][]): string =>
    `<table>${rows.map(([name, text]) => `<tr><th scope="row">${escapeHtml(name)}</th><td>${escapeHtml(text)}</td></tr>`).join('')}</table>`;
  const cells = (row: string[]): string => row.map((cell) => `<td>${escapeHtml(cell)}</td>`).join('');
  writeFileSync(
    file,
    `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Baton soak, ${escapeHtml(conditions.date.slice(0, 10))}</title>
<style>${style}</style>
</head>
<body>
<main>
<h1>Baton under load, switched again and again</h1>
<pre>${escapeHtml(verdictOf(result))}</pre>
${list(summary(result))}
<h2>First quarter and last</h2>
<table><thead><tr>${head.map((each) => `<th>${each}</th>`).join('')}</tr></thead>
<tbody>${tableRows(result)
      .map((row) => `<tr class="${row[0] === 'LEAK' ? 'leak' : 'flat'}">${cells(row)}</tr>`)
      .join('')}</tbody></table>
${charts(result)}
<h2>Conditions</h2>
${list(conditionsText(conditions))}
</main>
</body>
</html>
`,
  );
}

/** What has the same unit and kind goes into one picture. */
function charts({ rows, readings }: SoakResult): string {
  const groups = new Map<string, { unit: string; lines: ChartLine[] }>();
  for (const { name, unit } of rows) {
    const [kind = '', detail] = name.split(/, | (?=connections|channels|consumers|queues)/);
    const group = groups.get(kind) ?? { unit, lines: [] };
    groups.set(kind, group);
    const points = readings.flatMap(({ atMs, values }) =>
      values[name] === undefined ? [] : [{ x: atMs / 60_000, y: values[name] }],
    );
    group.lines.push({ name: detail ?? kind, points });
  }
  return [...groups]
    .map(([kind, { unit, lines }]) => {
      const title = unit ? `${kind} (${unit})` : kind;
      return `<section><h2>${escapeHtml(title)}</h2>${lineChart(title, unit, lines)}</section>`;
    })
    .join('\n');
}

const style = `
:root { color-scheme: light dark; --paper: #fff; --ink: #1c2430; --faint: #667085; --rule: #d9dee6; --shade: #f1f4f8; --missed: #b42318; --a: #0b6bcb; --b: #c2570c; --c: #11713b; --d: #7a4fc9; }
@media (prefers-color-scheme: dark) { :root { --paper: #12161c; --ink: #e6eaf0; --faint: #97a3b6; --rule: #2c3542; --shade: #1a2029; --missed: #ff8a7a; --a: #62b0ff; --b: #ff9d57; --c: #5fd38d; --d: #b79cff; } }
body { margin: 0; background: var(--paper); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 960px; margin: 0 auto; padding: 24px 16px 64px; }
h1 { font-size: 26px; } h2 { font-size: 16px; margin: 28px 0 4px; }
table { border-collapse: collapse; font-size: 14px; } th, td { text-align: left; padding: 3px 14px 3px 0; border-bottom: 1px solid var(--rule); font-weight: normal; }
thead th, th[scope] { color: var(--faint); } .leak td:first-child { color: var(--missed); font-weight: 600; }
pre { white-space: pre-wrap; font: inherit; font-weight: 600; } section { overflow-x: auto; }
svg { display: block; width: 100%; min-width: 640px; font: 12px system-ui, sans-serif; } svg text { fill: var(--ink); }
svg .tick, svg .value { fill: var(--faint); font-size: 11px; } svg .tick { text-anchor: middle; } svg .value { text-anchor: end; }
svg .grid { stroke: var(--rule); } svg .quarter { fill: var(--shade); } svg polyline { fill: none; stroke: currentColor; stroke-width: 1.5; }
svg g text { fill: currentColor; } .line0 { color: var(--a); } .line1 { color: var(--b); } .line2 { color: var(--c); } .line3 { color: var(--d); }
`;
