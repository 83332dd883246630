import { FailureRate } from '../../src/pod/failure-rate';

const rateOf = (
  limit: number,
  ...readings: [processed: number, failed: number, atMs: number][]
): string | null => {
  const rate = new FailureRate(() => limit);
  const [first, ...others] = readings.map(
    ([processed, failed, atMs]) => [{ processed, failed }, atMs] as const,
  );
  if (first) rate.begin(...first);
  for (const each of others) rate.note(...each);
  return rate.why;
};

test('a share above the limit is told with its figures', () => {
  expect(rateOf(0.2, [100, 0, 0], [170, 30, 5_000])).toBe(
    '30 of 100 messages failed within the last minute (maxFailureRate = 0.2)',
  );
});

test.each<[string, number, [number, number, number][]]>([
  [
    'at the limit',
    0.3,
    [
      [100, 0, 0],
      [170, 30, 5_000],
    ],
  ],
  [
    'nothing but failures, where no rate is too high',
    1,
    [
      [0, 0, 0],
      [0, 500, 5_000],
    ],
  ],
  [
    'too few attempts to be a rate',
    0.1,
    [
      [0, 0, 0],
      [0, 19, 5_000],
    ],
  ],
  [
    'failures of more than a minute ago',
    0.1,
    [
      [0, 0, 0],
      [0, 100, 1_000],
      [500, 100, 62_000],
    ],
  ],
  ['one reading', 0.1, [[0, 100, 0]]],
])('%s is none', (_, limit, readings) => {
  expect(rateOf(limit, ...readings)).toBeNull();
});

test('a new tenure counts from its beginning, in another process or the same', () => {
  const rate = new FailureRate(() => 0.1);
  rate.begin({ processed: 900, failed: 100 }, 0);
  rate.note({ processed: 900, failed: 119 }, 1_000);
  rate.begin({ processed: 0, failed: 0 }, 2_000);
  expect(rate.why).toBeNull();
  rate.note({ processed: 0, failed: 19 }, 3_000);
  expect(rate.why).toBeNull();
  rate.note({ processed: 0, failed: 20 }, 4_000);
  expect(rate.why).toContain('20 of 20');
});
