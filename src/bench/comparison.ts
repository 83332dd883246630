/**
 * What became slower or faster between two runs, beyond the noise that both show. For each result of Baton that is in
 * both, the ratio of the medians is computed again and again from samples drawn with replacement (a bootstrap); it
 * counts as a change when 99.8 % of the ratios lie on one side of 1 and the ratio itself is off by a tenth or more.
 * Machines differ: where a peer was measured beside Baton in both runs, the ratio is divided by the peer's own, drawn
 * the same way, so that a machine that is slower for both changes nothing and the peer's noise counts as well.
 */
import type { BenchResult } from './bench';
import { figure } from './figure';
import { seededRandom } from './random';

export type Verdict = 'slower' | 'faster' | 'same' | 'unknown';

export interface Change {
  bench: string;
  variant: string;
  system: string;
  verdict: Verdict;
  /** New by old, relative to the reference's where there is one. Above 1: more ms, or more messages per second. */
  ratio: number;
  /** In which 99.8 % of the drawn ratios lie. */
  low: number;
  high: number;
  reference: string | null;
  /** One sentence. */
  text: string;
}

/** In this order: the nearer to Baton's way of working, the better it stands for the machine. */
const references = ['etcd election', 'amqplib unverified', 'single active consumer', 'curator', 'client-go'];
const draws = 2_000;
/** On each side. */
const outside = 0.001;
const leastChange = 0.1;
/** With fewer samples nothing can be told from noise. */
const leastSamples = 5;

export function compareResults(before: BenchResult[], after: BenchResult[]): Change[] {
  const same = (a: BenchResult, b: BenchResult): boolean =>
    a.bench === b.bench && a.variant === b.variant && a.system === b.system && a.unit === b.unit;
  return after
    .filter(({ system }) => system.startsWith('baton'))
    .flatMap((now) => {
      const old = before.find((each) => same(each, now));
      if (!old) return [];
      return [compareOne(old, now, referenceOf(old, now, before, after))];
    });
}

interface Reference {
  old: BenchResult;
  now: BenchResult;
}

function referenceOf(
  old: BenchResult,
  now: BenchResult,
  before: BenchResult[],
  after: BenchResult[],
): Reference | null {
  const find = (system: string, beside: BenchResult, among: BenchResult[]): BenchResult | undefined =>
    among.find(
      (each) =>
        each.system === system &&
        each.bench === beside.bench &&
        each.variant === beside.variant &&
        each.unit === beside.unit &&
        each.n >= leastSamples &&
        each.p50 > 0,
    );
  for (const system of references) {
    const pair = { old: find(system, old, before), now: find(system, now, after) };
    if (pair.old && pair.now) return { old: pair.old, now: pair.now };
  }
  return null;
}

function compareOne(old: BenchResult, now: BenchResult, reference: Reference | null): Change {
  const { bench, variant, system, unit } = now;
  const place = { bench, variant, system };
  const where = `${bench}, ${variant}, ${system}`;
  if (old.n < leastSamples || now.n < leastSamples) {
    const text = `${where}: not comparable, ${old.n} samples then and ${now.n} now`;
    return {
      ...place,
      verdict: 'unknown',
      ratio: Number.NaN,
      low: Number.NaN,
      high: Number.NaN,
      reference: null,
      text,
    };
  }
  if (old.p50 === 0 || now.p50 === 0) return compareCounts(place, where, old, now);
  const random = seededRandom(1);
  const drawn = Array.from({ length: draws }, () => {
    const own = drawMedian(now.samples, random) / drawMedian(old.samples, random);
    if (!reference) return own;
    return own / (drawMedian(reference.now.samples, random) / drawMedian(reference.old.samples, random));
  }).toSorted((a, b) => a - b);
  const low = drawn[Math.floor(outside * draws)] ?? Number.NaN;
  const high = drawn[Math.ceil((1 - outside) * draws) - 1] ?? Number.NaN;
  const moved = reference ? median(reference.now.samples) / median(reference.old.samples) : 1;
  const ratio = median(now.samples) / median(old.samples) / moved;
  const differs = (low > 1 || high < 1) && Math.abs(ratio - 1) >= leastChange;
  const verdict = !differs ? 'same' : ratio > 1 === moreIsBetter(unit) ? 'faster' : 'slower';
  const beside = reference ? `, measured against ${reference.now.system} in both runs` : '';
  const text = `${where}: ${words[verdict]} (p50 ${figure(old.p50)} → ${figure(now.p50)} ${unit}; ${figure(ratio)} times what it was${beside}; noise ${figure(low)} to ${figure(high)})`;
  return { ...place, verdict, ratio, low, high, reference: reference?.now.system ?? null, text };
}

/** Counts that are usually 0 have no ratio: one that came up where none was is worse. */
function compareCounts(
  place: Pick<Change, 'bench' | 'variant' | 'system'>,
  where: string,
  old: BenchResult,
  now: BenchResult,
): Change {
  const worse = now.max > old.max || now.p50 > old.p50;
  const verdict = worse ? 'slower' : now.max < old.max || now.p50 < old.p50 ? 'faster' : 'same';
  const text = `${where}: ${words[verdict]} (at most ${figure(old.max)} → ${figure(now.max)} ${now.unit})`;
  return { ...place, verdict, ratio: Number.NaN, low: Number.NaN, high: Number.NaN, reference: null, text };
}

const words: Record<Verdict, string> = {
  slower: 'SLOWER',
  faster: 'faster',
  same: 'no change beyond the noise',
  unknown: 'not comparable',
};

const moreIsBetter = (unit: string): boolean => unit === 'msg/s';

function drawMedian(samples: number[], random: () => number): number {
  // A typed array sorts numbers by itself, several times as fast.
  const drawn = new Float64Array(samples.length);
  for (let i = 0; i < drawn.length; i++) drawn[i] = samples[Math.floor(random() * samples.length)]!;
  return medianOf(drawn.toSorted());
}

const median = (samples: number[]): number => medianOf(Float64Array.from(samples).toSorted());

function medianOf(sorted: Float64Array): number {
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** First what changed, then in one line what did not. */
export function comparisonText(changes: Change[], then: string): string {
  const shown = changes.filter(({ verdict }) => verdict !== 'same');
  const same = changes.length - shown.length;
  const lines = shown.map(({ text }) => `- ${text}`);
  if (changes.length === 0) lines.push('- nothing was measured in both runs');
  if (same > 0) lines.push(`- ${same} of ${changes.length} figures show no change beyond the noise`);
  return [
    `compared with the run of ${then} (a change: 99.8 % of ratios drawn from both runs' samples on one side, and 10 % or more)`,
    ...lines,
  ].join('\n');
}
