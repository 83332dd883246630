/** Round trips in ms. */
export interface RoundTrip {
  best: number;
  median: number;
  worst: number;
}

const samples = 7;

/** The first one is not counted: it connects. Rejects with the first failure. */
export async function measureRoundTrip(ask: () => Promise<unknown>): Promise<RoundTrip> {
  await ask();
  const tookMs: number[] = [];
  for (let n = 0; n < samples; n += 1) {
    const began = performance.now();
    await ask();
    tookMs.push(performance.now() - began);
  }
  const sorted = tookMs.toSorted((a, b) => a - b);
  const at = (index: number): number => Math.round((sorted[index] ?? 0) * 10) / 10;
  return { best: at(0), median: at(Math.floor(samples / 2)), worst: at(samples - 1) };
}

export const roundTripText = ({ best, median, worst }: RoundTrip): string =>
  `${median} ms (from ${best} to ${worst}, ${samples} times)`;
