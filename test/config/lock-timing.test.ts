import fc from 'fast-check';
import { completeTiming, leastMarginMs, timingProblems } from '../../src/config/lock-timing';
import { ConfigFolder, minimal } from './config-file';

const folder = new ConfigFolder();
afterAll(() => folder.remove());

describe('relations', () => {
  const broken: [string, Record<string, unknown>, string][] = [
    ['TTL of at least 2 s', { leaseTtlMs: 1000 }, 'leaseTtlMs is 1000: must be whole seconds'],
    ['TTL in whole seconds', { leaseTtlMs: 2500 }, 'leaseTtlMs is 2500: must be whole seconds'],
    [
      'margin of half a second',
      { deadlineMarginMs: 499 },
      'deadlineMarginMs is 499: must be a whole number of milliseconds, 500 or more',
    ],
    [
      'margin of a tenth of the TTL',
      { deadlineMarginMs: 999 },
      'deadlineMarginMs is 999: must be at least a tenth of leaseTtlMs and 500 (1000)',
    ],
    [
      'margin below the TTL',
      { deadlineMarginMs: 10_000 },
      'deadlineMarginMs is 10000: must be below leaseTtlMs (10000)',
    ],
    [
      'interval of at most half of the TTL',
      { keeperIntervalMs: 5001 },
      'keeperIntervalMs is 5001: must be at most half of leaseTtlMs (5000)',
    ],
    [
      'request of 50 ms at least',
      { requestTimeoutMs: 49 },
      'requestTimeoutMs is 49: must be a whole number of milliseconds, 50 or more',
    ],
    [
      'request shorter than the interval',
      { keeperIntervalMs: 900, requestTimeoutMs: 900 },
      'requestTimeoutMs is 900: must be below keeperIntervalMs (900)',
    ],
    [
      'two requests and the margin within the TTL',
      { keeperIntervalMs: 3000, requestTimeoutMs: 2900, deadlineMarginMs: 1200 },
      'keeperIntervalMs is 3000: must be so short that with 2 × requestTimeoutMs (2900)',
    ],
    ['abort lead before the deadline', { abortLeadMs: 8950 }, 'abortLeadMs is 8950: must be below'],
    ['beat of a second', { beatMs: 999 }, 'beatMs is 999: must be a whole number'],
    [
      'verification age below the deadline',
      { verificationMaxAgeMs: 9000 },
      'verificationMaxAgeMs is 9000: must be below leaseTtlMs − deadlineMarginMs (9000)',
    ],
    ['stall limit of half a second', { stallLimitMs: 499 }, 'stallLimitMs is 499: must be a whole number'],
    ['drain limit not negative', { drainLimitMs: -1 }, 'drainLimitMs is -1: must be a whole number'],
    [
      'prefetch at least concurrency',
      { queue: { name: 'q', prefetch: 5, concurrency: 6 } },
      'queue.prefetch is 5: must be at least concurrency (6)',
    ],
    [
      'concurrency of one',
      { queue: { name: 'q', concurrency: 0 } },
      'queue.concurrency is 0: must be a whole number',
    ],
    [
      'delivery limit of 20',
      { queue: { name: 'q', deliveryLimit: 19 } },
      'queue.deliveryLimit is 19: must be a whole number',
    ],
    [
      'delivery limit above maxDeliveries',
      { queue: { name: 'q', deliveryLimit: 30, maxDeliveries: 30 } },
      'queue.deliveryLimit is 30: must be above maxDeliveries (30)',
    ],
    [
      'one delivery',
      { queue: { name: 'q', maxDeliveries: 0 } },
      'queue.maxDeliveries is 0: must be a whole number',
    ],
    [
      'heartbeat of a minute at most',
      { queue: { name: 'q', heartbeatSeconds: 61 } },
      'queue.heartbeatSeconds is 61: must be a whole number, from 1 to 60',
    ],
    [
      'dead letters elsewhere',
      { queue: { name: 'q', deadLetterExchange: 'q' } },
      'queue.deadLetterExchange is q: must not be the queue itself',
    ],
  ];
  test.each(broken)('%s', (_, lock, expected) => {
    expect(folder.error(minimal(lock)).message).toContain(`locks.orders.${expected}`);
  });
});

describe('defaults give way', () => {
  test.each([
    [
      { leaseTtlMs: 2000 },
      {
        deadlineMarginMs: 500,
        keeperIntervalMs: 900,
        requestTimeoutMs: 249,
        abortLeadMs: 500,
        verificationMaxAgeMs: 1000,
      },
    ],
    [{ leaseTtlMs: 5000 }, { deadlineMarginMs: 500, keeperIntervalMs: 2250, requestTimeoutMs: 1000 }],
    [{ leaseTtlMs: 30_000 }, { deadlineMarginMs: 3000, keeperIntervalMs: 13_500, beatMs: 30_000 }],
    [
      { leaseTtlMs: 2000, deadlineMarginMs: 1500 },
      { abortLeadMs: expect.any(Number), verificationMaxAgeMs: 499 },
    ],
  ])('%j', (given, expected) => {
    expect(folder.load(minimal(given)).locks[0]).toMatchObject(expected);
  });

  test('in the queue’s settings as well', () => {
    expect(
      folder.load(minimal({ queue: { name: 'q', concurrency: 500, maxDeliveries: 200 } })).locks[0]?.queue,
    ).toMatchObject({ prefetch: 500, deliveryLimit: 201 });
    expect(folder.load(minimal({ queue: { name: 'q', prefetch: 1 } })).locks[0]?.queue).toMatchObject({
      concurrency: 1,
    });
  });
});

const given = fc.record(
  {
    leaseTtlMs: fc.integer({ min: 2, max: 60 }).map((seconds) => seconds * 1000),
    deadlineMarginMs: fc.integer({ min: 500, max: 60_000 }),
    keeperIntervalMs: fc.integer({ min: 51, max: 25_000 }),
    requestTimeoutMs: fc.integer({ min: 50, max: 5000 }),
    abortLeadMs: fc.integer({ min: 0, max: 5000 }),
    verificationMaxAgeMs: fc.integer({ min: 1, max: 60_000 }),
  },
  { requiredKeys: [] },
);

test('whatever was given, either every relation holds or a problem names a given setting', () => {
  fc.assert(
    fc.property(given, (settings) => {
      const t = completeTiming(settings);
      const problems = timingProblems('locks.l', settings, t);
      const holds =
        t.deadlineMarginMs >= leastMarginMs(t.leaseTtlMs) &&
        t.keeperIntervalMs <= t.leaseTtlMs / 2 &&
        t.requestTimeoutMs >= 50 &&
        t.requestTimeoutMs < t.keeperIntervalMs &&
        t.keeperIntervalMs + 2 * t.requestTimeoutMs + t.deadlineMarginMs < t.leaseTtlMs &&
        t.abortLeadMs < t.leaseTtlMs - t.deadlineMarginMs - t.keeperIntervalMs &&
        t.verificationMaxAgeMs < t.leaseTtlMs - t.deadlineMarginMs;
      expect(problems.length === 0).toBe(holds);
      for (const { setting } of problems)
        expect([...Object.keys(settings), 'leaseTtlMs']).toContain(setting.replace('locks.l.', ''));
    }),
    { numRuns: 2000 },
  );
});

test('what was given is kept, and a default is found whenever one fits', () => {
  fc.assert(
    fc.property(given, (settings) => {
      const timing = completeTiming(settings);
      expect(timing).toMatchObject(settings);
      if (timingProblems('l', settings, timing).length === 0) return;
      // Nothing else can fit: try every pair of the two that bind each other.
      const { leaseTtlMs: ttl, deadlineMarginMs: margin } = timing;
      const lead = settings.abortLeadMs ?? 0;
      const fitting = candidates(settings.keeperIntervalMs, 51, Math.floor(ttl / 2)).some((interval) =>
        candidates(settings.requestTimeoutMs, 50, 1000).some(
          (timeout) =>
            margin >= leastMarginMs(ttl) &&
            interval <= ttl / 2 &&
            timeout < interval &&
            interval + 2 * timeout + margin < ttl &&
            lead < ttl - margin - interval &&
            (settings.verificationMaxAgeMs ?? 1) < ttl - margin,
        ),
      );
      expect(fitting).toBe(false);
    }),
    { numRuns: 500 },
  );
});

test('random valid locks load', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 2, max: 3600 }),
      fc.integer({ min: 1, max: 300 }),
      (ttlSeconds, concurrency) => {
        const config = folder.load(
          minimal({ leaseTtlMs: ttlSeconds * 1000, queue: { name: 'q', concurrency } }),
        );
        expect(config.locks[0]?.queue.concurrency).toBe(concurrency);
      },
    ),
    { numRuns: 200 },
  );
});

/** The given value, or a few small ones: if a larger one fits, so does a smaller one, down to the least. */
function candidates(value: number | undefined, min: number, max: number): number[] {
  if (value !== undefined) return [value];
  const values: number[] = [];
  for (let n = min; n <= max; n = Math.max(n + 1, Math.ceil(n * 1.02))) values.push(n);
  return values;
}
