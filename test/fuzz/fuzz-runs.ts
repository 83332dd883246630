import type { Parameters } from 'fast-check';

/** `npm run fuzz -- --runs N --seed S`: how many times the cases of `npm test` are tried, and from where on. */
const factor = Number(process.env['BATON_FUZZ_RUNS'] ?? 1);
const seed = Number(process.env['BATON_FUZZ_SEED'] ?? 6);

export const fuzzRuns = (runs: number): Pick<Parameters<unknown>, 'seed' | 'numRuns'> => ({
  seed,
  numRuns: Math.max(1, Math.round(runs * factor)),
});

/** For what is sent once, and in one go. */
export const fuzzSample = fuzzRuns;

/** ms for a test whose short form may take `ms`. */
export const fuzzLimitMs = (ms: number): number => ms * Math.max(1, factor);
