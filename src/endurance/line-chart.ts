import { figure } from '../bench/figure';
import { escapeHtml } from '../bench/strip-plot';

export interface ChartLine {
  name: string;
  /** In order of x. */
  points: { x: number; y: number }[];
}

const width = 900;
const height = 150;
const left = 60;
const right = 170;
const top = 10;
const bottom = 24;

/**
 * Lines over time as SVG, x in minutes; the y axis begins at 0, so that what is flat looks flat. The first and the
 * last quarter, which are compared, are shaded.
 */
export function lineChart(title: string, unit: string, lines: ChartLine[]): string {
  const all = lines.flatMap(({ points }) => points);
  const fromX = Math.min(...all.map(({ x }) => x));
  const toX = Math.max(...all.map(({ x }) => x), fromX + 1e-9);
  const toY = Math.max(1, ...all.map(({ y }) => y)) * 1.05;
  const x = (value: number): number => left + ((value - fromX) / (toX - fromX)) * (width - left - right);
  const y = (value: number): number => height - bottom - (value / toY) * (height - top - bottom);
  const quarter = (width - left - right) / 4;
  const shade = (from: number): string =>
    `<rect class="quarter" x="${from.toFixed(1)}" y="${top}" width="${quarter.toFixed(1)}" height="${height - top - bottom}"/>`;
  const ticks = [0, toY / 2, toY].map(
    (value) =>
      `<line class="grid" x1="${left}" y1="${y(value).toFixed(1)}" x2="${width - right}" y2="${y(value).toFixed(1)}"/>` +
      `<text class="value" x="${left - 6}" y="${(y(value) + 4).toFixed(1)}">${figure(value)}</text>`,
  );
  const minutes = [fromX, (fromX + toX) / 2, toX].map(
    (value) => `<text class="tick" x="${x(value).toFixed(1)}" y="${height - 6}">${figure(value)} min</text>`,
  );
  const drawn = lines.map(({ name, points }, i) => {
    const path = points.map((point) => `${x(point.x).toFixed(1)},${y(point.y).toFixed(1)}`).join(' ');
    const last = points.at(-1);
    const label = `${name}${last ? ` ${figure(last.y)}${unit && ` ${unit}`}` : ''}`;
    return (
      `<g class="line${i % 4}"><polyline points="${path}"/>` +
      `<text x="${width - right + 8}" y="${top + 12 + i * 16}">${escapeHtml(label)}</text></g>`
    );
  });
  return (
    `<svg viewBox="0 0 ${width} ${height}" role="img" aria-label="${escapeHtml(title)}">` +
    `${shade(left)}${shade(width - right - quarter)}${ticks.join('')}${minutes.join('')}${drawn.join('')}</svg>`
  );
}
