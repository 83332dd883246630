import type { ConfigProblem } from './config-error';
import type { LockSettings } from './config';

/**
 * The times of one lock, and the relations between them. The problem they solve: an extension that was sent
 * must be answered, confirmed by a read and, once, repeated, before the deadline of the former one; and the
 * deadline must come so long before etcd gives the lock away that two drifting clocks cannot make them meet.
 *
 *   |<------------------------------- leaseTtlMs ------------------------------->|
 *   |<- keeperIntervalMs ->|<- 2 x requestTimeoutMs ->|   ...  |<- deadlineMarginMs ->|
 *   extension sent         next one sent              confirmed  deadline: SIGKILL      etcd lets go
 */
export type LockTiming = Pick<
  LockSettings,
  | 'leaseTtlMs'
  | 'deadlineMarginMs'
  | 'keeperIntervalMs'
  | 'requestTimeoutMs'
  | 'abortLeadMs'
  | 'verificationMaxAgeMs'
  | 'beatMs'
>;
export type GivenTiming = { [K in keyof LockTiming]?: LockTiming[K] | undefined };

export const leastRequestTimeoutMs = 50;

/** The default: a shorter one keeps a dead pod's lease longer, a longer one forgives etcd less (docs/decisions.md, 26). */
const usualIntervalShare = 0.45;

/** The margin for clock drift that a TTL needs at least: a tenth of it, and half a second. */
export const leastMarginMs = (leaseTtlMs: number): number => Math.max(Math.ceil(leaseTtlMs / 10), 500);

/**
 * Completes the times that were given. A usual default that would break a relation gives way to one that
 * fits; when none fits, the result breaks the relation and `timingProblems` reports it.
 */
export function completeTiming(given: GivenTiming): LockTiming {
  const leaseTtlMs = given.leaseTtlMs ?? 10_000;
  const deadlineMarginMs = given.deadlineMarginMs ?? leastMarginMs(leaseTtlMs);
  const usableMs = leaseTtlMs - deadlineMarginMs;
  const { keeperIntervalMs, requestTimeoutMs } = completeExtension(given, leaseTtlMs, usableMs);
  return {
    leaseTtlMs,
    deadlineMarginMs,
    keeperIntervalMs,
    requestTimeoutMs,
    abortLeadMs: given.abortLeadMs ?? Math.max(0, Math.min(500, usableMs - keeperIntervalMs - 1)),
    verificationMaxAgeMs: given.verificationMaxAgeMs ?? Math.max(1, Math.min(1000, usableMs - 1)),
    beatMs: given.beatMs ?? Math.max(leaseTtlMs, 10_000),
  };
}

/** Interval and request bound together: either may have to give way to the other, the margin or the abort lead. */
function completeExtension(
  given: GivenTiming,
  leaseTtlMs: number,
  usableMs: number,
): Pick<LockTiming, 'keeperIntervalMs' | 'requestTimeoutMs'> {
  const longestIntervalMs = Math.min(
    Math.floor(leaseTtlMs * usualIntervalShare),
    usableMs - (given.abortLeadMs ?? 0) - 1,
  );
  const usualIntervalMs = given.keeperIntervalMs ?? longestIntervalMs;
  const usualTimeoutMs = given.requestTimeoutMs ?? 1000;
  const fits = usualTimeoutMs < usualIntervalMs && usualIntervalMs + 2 * usualTimeoutMs < usableMs;

  const requestTimeoutMs =
    given.requestTimeoutMs ??
    (fits ? usualTimeoutMs : shorterTimeoutMs(given.keeperIntervalMs, longestIntervalMs, usableMs));
  const keeperIntervalMs =
    given.keeperIntervalMs ??
    (fits
      ? usualIntervalMs
      : Math.max(
          leastRequestTimeoutMs + 1,
          Math.min(longestIntervalMs, usableMs - 2 * requestTimeoutMs - 1),
        ));
  return { keeperIntervalMs, requestTimeoutMs };
}

/** At most half the interval, so that a repeated request still ends within it; and so short that time is spare. */
function shorterTimeoutMs(
  givenIntervalMs: number | undefined,
  longestIntervalMs: number,
  usableMs: number,
): number {
  const boundMs =
    givenIntervalMs === undefined
      ? Math.min(longestIntervalMs / 2, (usableMs - 1) / 6)
      : Math.min(givenIntervalMs / 2, (usableMs - givenIntervalMs - 1) / 2);
  return Math.max(leastRequestTimeoutMs, Math.min(1000, Math.floor(boundMs)));
}

/** Every relation that does not hold. Each names a setting that was given, never a default. */
export function timingProblems(prefix: string, given: GivenTiming, timing: LockTiming): ConfigProblem[] {
  const problems: ConfigProblem[] = [];
  const check = (holds: boolean, involved: (keyof LockTiming)[], expected: string): void => {
    if (holds) return;
    const name = involved.find((setting) => given[setting] !== undefined) ?? 'leaseTtlMs';
    const rule =
      name === involved[0]
        ? `must be ${expected}`
        : `${involved[0]} (${timing[involved[0]!]}) must be ${expected}`;
    problems.push({ setting: `${prefix}.${name}`, value: timing[name], expected: rule });
  };
  const {
    leaseTtlMs: ttl,
    deadlineMarginMs: margin,
    keeperIntervalMs: interval,
    requestTimeoutMs: timeout,
  } = timing;

  check(
    margin >= leastMarginMs(ttl),
    ['deadlineMarginMs'],
    `at least a tenth of leaseTtlMs and 500 (${leastMarginMs(ttl)})`,
  );
  check(margin < ttl, ['deadlineMarginMs'], `below leaseTtlMs (${ttl})`);
  if (margin >= ttl) return problems;
  const halfMs = Math.floor(ttl / 2);
  check(interval <= halfMs, ['keeperIntervalMs'], `at most half of leaseTtlMs (${halfMs})`);
  // What follows from the interval says nothing new about one that is too long by itself.
  if (interval <= halfMs) {
    check(
      timeout < interval,
      ['requestTimeoutMs', 'keeperIntervalMs'],
      `below keeperIntervalMs (${interval})`,
    );
    check(
      interval + 2 * timeout + margin < ttl,
      ['keeperIntervalMs', 'requestTimeoutMs', 'deadlineMarginMs'],
      `so short that with 2 × requestTimeoutMs (${timeout}) and deadlineMarginMs (${margin}) it stays below leaseTtlMs (${ttl})`,
    );
    check(
      timing.abortLeadMs < ttl - margin - interval,
      ['abortLeadMs', 'keeperIntervalMs', 'deadlineMarginMs'],
      `below leaseTtlMs − deadlineMarginMs − keeperIntervalMs (${ttl - margin - interval})`,
    );
  }
  check(
    timing.verificationMaxAgeMs < ttl - margin,
    ['verificationMaxAgeMs', 'deadlineMarginMs'],
    `below leaseTtlMs − deadlineMarginMs (${ttl - margin})`,
  );
  return problems;
}
