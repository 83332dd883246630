import type { Parameters } from 'fast-check';

/** `npm run fuzz -- --runs N --seed S`: how many times the cases of `npm test` are tried, and from where on. */
const factor = Number(process.env['BATON_FUZZ_RUNS'] ?? 1);
const seed = Number(process.env['BATON_FUZZ_SEED'] ?? 6);

export const fuzzRuns = (runs: number): Pick<Parameters<unknown>, 'seed' | 'numRuns'> => ({
  seed,
  numRuns: Math.max(1, Math.round(runs * factor)),
});

/** What the call threw; `null` when it threw nothing. */
export function thrownBy(call: () => unknown): unknown {
  try {
    call();
    return null;
  } catch (error) {
    return error;
  }
}

/** ms for a test whose short form may take `ms`. */
export const fuzzLimitMs = (ms: number): number => ms * Math.max(1, factor);
