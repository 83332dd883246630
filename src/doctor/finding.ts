export const areas = [
  'versions',
  'clocks',
  'round trips',
  'permissions',
  'temporal',
  'queues',
  'quorum',
  'timing',
] as const;

/** One line of `baton doctor`. */
export interface Finding {
  area: (typeof areas)[number];
  /** What it is about: a server, a lock, a setting. */
  of: string;
  /** `error`: a guarantee cannot be held, or a pod could not work. */
  verdict: 'ok' | 'warning' | 'error';
  /** One sentence, with the values that were found. */
  why: string;
  /** What to do about it; missing where all is well. */
  change?: string;
}

/** Findings of one area and thing. */
export const findingsOf = (area: Finding['area'], of: string) => ({
  ok: (why: string): Finding => ({ area, of, verdict: 'ok', why }),
  warning: (why: string, change: string): Finding => ({ area, of, verdict: 'warning', why, change }),
  error: (why: string, change: string): Finding => ({ area, of, verdict: 'error', why, change }),
});
