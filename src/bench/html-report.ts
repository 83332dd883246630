import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import type { BenchResult, Goal } from './bench';
import { type BenchFile, conditionsText } from './bench-file';
import { ratioToBaton } from './bench-table';
import { figure } from './figure';
import { escapeHtml, stripPlot } from './strip-plot';

/** One file without outside assets: pictures, the same as tables, goals, notes, conditions. */
export function writeHtmlReport(file: string, content: BenchFile, comparison: string | null): void {
  mkdirSync(dirname(resolve(file)), { recursive: true });
  writeFileSync(file, htmlReport(content, comparison));
}

export function htmlReport(content: BenchFile, comparison: string | null): string {
  const { results, goals, notes, conditions } = content;
  const met = goals.filter((goal) => goal.met).length;
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Baton bench, ${escapeHtml(conditions.date.slice(0, 10))}</title>
<style>${style}</style>
</head>
<body>
<main>
<h1>Baton, measured side by side</h1>
<p>${met} of ${goals.length} goals met. Each dot is one measurement, the box holds the middle half of them, the line is
the median; the axis is logarithmic. All systems of one picture were measured in turn, on one machine.</p>
${goals.length > 0 ? goalsTable(goals) : ''}
${comparison === null ? '' : `<h2>Comparison</h2>\n<pre>${escapeHtml(comparison)}</pre>`}
${groups(results).map(section).join('\n')}
${notes.length > 0 ? `<h2>Notes</h2>\n<ul>${notes.map((note) => `<li>${escapeHtml(note)}</li>`).join('')}</ul>` : ''}
<h2>Conditions</h2>
<table>${conditionsText(conditions)
    .map(([name, text]) => `<tr><th scope="row">${escapeHtml(name)}</th><td>${escapeHtml(text)}</td></tr>`)
    .join('')}</table>
</main>
</body>
</html>
`;
}

/** Results that belong into one picture, in the order of their first. */
function groups(results: BenchResult[]): BenchResult[][] {
  const found = new Map<string, BenchResult[]>();
  for (const result of results) {
    const key = `${result.bench}\0${result.variant}\0${result.unit}`;
    const group = found.get(key);
    if (group) group.push(result);
    else found.set(key, [result]);
  }
  return [...found.values()];
}

function section(results: BenchResult[]): string {
  const [first] = results as [BenchResult, ...BenchResult[]];
  const rows = results.map((each) => {
    const ratio = ratioToBaton(each, results);
    const cells = [
      ...[String(each.n), figure(each.p50), figure(each.p95), figure(each.p99), figure(each.max)],
      ratio === null ? '' : `${figure(ratio)} ×`,
    ];
    return `<tr><th scope="row">${escapeHtml(each.system)}</th>${cells.map((cell) => `<td class="number">${cell}</td>`).join('')}</tr>`;
  });
  return `<section>
<h2>${escapeHtml(`${first.bench}: ${first.variant}`)} <small>${escapeHtml(first.unit)}</small></h2>
${stripPlot(results)}
<table><thead><tr><th></th>${['n', 'p50', 'p95', 'p99', 'max', 'Baton ÷ it'].map((head) => `<th class="number">${head}</th>`).join('')}</tr></thead>
<tbody>${rows.join('')}</tbody></table>
</section>`;
}

function goalsTable(goals: Goal[]): string {
  const rows = goals.map(({ goal, target, measured, met }) => {
    const mark = met ? '<td class="met">met</td>' : '<td class="missed">MISSED</td>';
    return `<tr>${mark}<td>${escapeHtml(goal)}</td><td>${escapeHtml(target)}</td><td>${escapeHtml(measured)}</td></tr>`;
  });
  return `<h2>Goals</h2>
<table><thead><tr><th></th><th>goal</th><th>target</th><th>measured</th></tr></thead><tbody>${rows.join('')}</tbody></table>`;
}

const style = `
:root { color-scheme: light dark; --paper: #fff; --ink: #1c2430; --faint: #667085; --rule: #d9dee6; --own: #0b6bcb; --peer: #7a8699; --met: #11713b; --missed: #b42318; }
@media (prefers-color-scheme: dark) { :root { --paper: #12161c; --ink: #e6eaf0; --faint: #97a3b6; --rule: #2c3542; --own: #62b0ff; --peer: #8d9aae; --met: #5fd38d; --missed: #ff8a7a; } }
body { margin: 0; background: var(--paper); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 960px; margin: 0 auto; padding: 24px 16px 64px; }
h1 { font-size: 26px; } h2 { font-size: 18px; margin: 36px 0 8px; } small { color: var(--faint); font-weight: normal; }
table { border-collapse: collapse; margin: 8px 0; font-size: 14px; }
th, td { text-align: left; padding: 4px 14px 4px 0; border-bottom: 1px solid var(--rule); font-weight: normal; vertical-align: top; }
thead th { color: var(--faint); } .number { text-align: right; font-variant-numeric: tabular-nums; }
.met { color: var(--met); } .missed { color: var(--missed); font-weight: 600; }
pre { white-space: pre-wrap; } section { overflow-x: auto; }
svg { display: block; width: 100%; min-width: 640px; font: 13px system-ui, sans-serif; }
svg text { fill: var(--ink); } svg .tick { fill: var(--faint); font-size: 11px; text-anchor: middle; }
svg .name { text-anchor: end; } svg .grid { stroke: var(--rule); }
svg .own { color: var(--own); } svg .peer { color: var(--peer); } svg .own .name { font-weight: 600; }
svg circle { fill: currentColor; fill-opacity: .45; } svg .box { fill: currentColor; fill-opacity: .15; stroke: currentColor; }
svg .median { stroke: currentColor; stroke-width: 2.5; }
`;
