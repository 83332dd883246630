/** Round trips in ms. */
export interface RoundTrip {
  best: number;
  median: number;
  worst: number;
}

const samples = 7;

/**
 * The first one is not counted: it connects. Rejects with the first failure. `enoughMs`: once so long has passed no
 * further one is made, after one that counts. Default: always the full number.
 */
export async function measureRoundTrip(
  ask: () => Promise<unknown>,
  { enoughMs = Infinity }: { enoughMs?: number } = {},
): Promise<RoundTrip> {
  const enoughAt = performance.now() + enoughMs;
  await ask();
  const tookMs: number[] = [];
  while (tookMs.length < samples && (tookMs.length === 0 || performance.now() < enoughAt)) {
    const began = performance.now();
    await ask();
    tookMs.push(performance.now() - began);
  }
  const sorted = tookMs.toSorted((a, b) => a - b);
  const at = (index: number): number => Math.round((sorted[index] ?? 0) * 10) / 10;
  return { best: at(0), median: at(Math.floor(sorted.length / 2)), worst: at(sorted.length - 1) };
}

export const roundTripText = ({ best, median, worst }: RoundTrip): string =>
  `${median} ms (from ${best} to ${worst}, ${samples} times)`;
