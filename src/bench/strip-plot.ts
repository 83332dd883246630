import type { BenchResult } from './bench';
import { figure } from './figure';
import { seededRandom } from './random';

const labelWidth = 190;
const plotWidth = 620;
const valueWidth = 90;
const rowHeight = 34;
const headHeight = 24;
/** Dots beyond so many make the picture heavy and show nothing more. */
const maxDots = 400;

/**
 * One variant as SVG: a row per system, a dot per sample, the box from the lower to the upper quartile, the line at
 * the median. The axis is logarithmic, so that equal ratios look alike; what is 0 or less stands at its left end.
 */
export function stripPlot(results: BenchResult[]): string {
  const shown = results.filter(({ samples }) => samples.length > 0);
  const positive = shown.flatMap(({ samples }) => samples.filter((value) => value > 0));
  const scale = logScale(positive);
  const height = headHeight + shown.length * rowHeight + 8;
  const width = labelWidth + plotWidth + valueWidth;
  const bottom = height - 8;
  const ticks = scale.ticks.map((tick) => {
    const x = scale.x(tick).toFixed(1);
    return (
      `<line class="grid" x1="${x}" y1="${headHeight - 6}" x2="${x}" y2="${bottom}"/>` +
      `<text class="tick" x="${x}" y="12">${tickText(tick)}</text>`
    );
  });
  const rows = shown.map((result, i) => row(result, headHeight + i * rowHeight + rowHeight / 2, scale.x));
  const [first] = shown;
  const title = first ? `${first.bench}, ${first.variant}, in ${first.unit}` : 'nothing measured';
  return `<svg viewBox="0 0 ${width} ${height}" role="img" aria-label="${escapeHtml(title)}">${ticks.join('')}${rows.join('')}</svg>`;
}

function row({ system, unit, samples, p50 }: BenchResult, y: number, x: (value: number) => number): string {
  const sorted = samples.toSorted((a, b) => a - b);
  const at = (part: number): number => sorted[Math.round(part * (sorted.length - 1))]!;
  const random = seededRandom(7);
  const every = Math.ceil(samples.length / maxDots);
  const dots = samples
    .filter((_, i) => i % every === 0)
    .map((value) => {
      const dy = (random() - 0.5) * 14;
      return `<circle cx="${x(value).toFixed(1)}" cy="${(y + dy).toFixed(1)}" r="2"/>`;
    });
  const [left, middle, right] = [x(at(0.25)), x(p50), x(at(0.75))];
  const kind = system === 'baton' ? 'own' : 'peer';
  return (
    `<g class="${kind}"><title>${escapeHtml(`${system}: p50 ${figure(p50)} ${unit}, n ${samples.length}`)}</title>` +
    `<text class="name" x="${labelWidth - 12}" y="${y + 4}">${escapeHtml(system)}</text>` +
    `<rect class="box" x="${left.toFixed(1)}" y="${y - 9}" width="${Math.max(2, right - left).toFixed(1)}" height="18" rx="3"/>` +
    dots.join('') +
    `<line class="median" x1="${middle.toFixed(1)}" y1="${y - 12}" x2="${middle.toFixed(1)}" y2="${y + 12}"/>` +
    `<text class="value" x="${labelWidth + plotWidth + 10}" y="${y + 4}">${figure(p50)} ${escapeHtml(unit)}</text></g>`
  );
}

interface LogScale {
  x: (value: number) => number;
  ticks: number[];
}

/** From the 1, 2 or 5 below the least to the one above the greatest. */
function logScale(values: number[]): LogScale {
  let [least, greatest] = [Infinity, -Infinity];
  for (const value of values) {
    least = Math.min(least, value);
    greatest = Math.max(greatest, value);
  }
  if (values.length === 0) [least, greatest] = [1, 10];
  const steps: number[] = [];
  for (let power = Math.floor(Math.log10(least)) - 1; power <= Math.ceil(Math.log10(greatest)) + 1; power++)
    for (const digit of [1, 2, 5]) steps.push(digit * 10 ** power);
  const from = steps.findLast((step) => step <= least) ?? least;
  const to = steps.find((step) => step >= greatest && step > from) ?? greatest;
  const inside = steps.filter((step) => step >= from && step <= to);
  const isPower = (step: number): boolean => Math.abs(Math.log10(step) - Math.round(Math.log10(step))) < 1e-9;
  const ticks = inside.length <= 10 ? inside : inside.filter(isPower);
  const span = Math.log(to / from);
  const x = (value: number): number =>
    labelWidth + (Math.log(Math.max(value, from) / from) / span) * plotWidth;
  return { x, ticks };
}

const tickText = (tick: number): string => String(Number(tick.toPrecision(3)));

export function escapeHtml(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;');
}
