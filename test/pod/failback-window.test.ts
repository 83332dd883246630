import type { FailbackWindow } from '../../src/config/config';
import { isOpen } from '../../src/pod/failback-window';

const open = (window: Partial<FailbackWindow>, at: string, timeZone = 'UTC'): boolean =>
  isOpen({ windows: [{ days: [], from: '02:00', to: '04:00', ...window }], timeZone }, Date.parse(at));

test('without windows it is open at any time', () => {
  expect(isOpen({ windows: [], timeZone: 'UTC' }, Date.now())).toBe(true);
});

// 2026-01-03 is a Saturday.
const night: Partial<FailbackWindow> = { from: '22:00', to: '04:00', days: ['sat'] };
test.each<[string, Partial<FailbackWindow>, string, boolean]>([
  ['its first minute', {}, '2026-01-03T02:00:00Z', true],
  ['a moment before', {}, '2026-01-03T01:59:59Z', false],
  ['its last moment', {}, '2026-01-03T03:59:59Z', true],
  ['its end', {}, '2026-01-03T04:00:00Z', false],
  ['one of its days', { days: ['fri', 'sat'] }, '2026-01-03T03:00:00Z', true],
  ['another day', { days: ['sun', 'mon'] }, '2026-01-03T03:00:00Z', false],
  ['the evening of a night', night, '2026-01-03T22:30:00Z', true],
  ['the morning after it, another day', night, '2026-01-04T03:59:00Z', true],
  ['the end of the night', night, '2026-01-04T04:00:00Z', false],
  ['the morning before it', night, '2026-01-03T03:00:00Z', false],
  ['the evening after it', night, '2026-01-04T22:30:00Z', false],
  ['the morning after a night of the week’s end', { ...night, days: ['sat'] }, '2026-01-04T00:00:00Z', true],
  ['until midnight', { from: '22:00', to: '00:00' }, '2026-01-03T23:59:00Z', true],
  ['from midnight', { from: '22:00', to: '00:00' }, '2026-01-03T00:00:00Z', false],
])('%s', (_, window, at, expected) => {
  expect(open(window, at)).toBe(expected);
});

test('day and time are those of the time zone', () => {
  // Sunday in Auckland, still Saturday in UTC.
  const [sunday, at] = [{ days: ['sun'] as const }, '2026-01-03T14:00:00Z'];
  expect(open(sunday, at, 'Pacific/Auckland')).toBe(true);
  expect(open(sunday, at)).toBe(false);
});

describe('when clocks are set', () => {
  const zone = 'Europe/Berlin';

  test('forward, a window is shorter, and one in the hour that is left out is none', () => {
    // On 2026-03-29 01:59 is followed by 03:00, at 01:00 UTC.
    expect(open({}, '2026-03-29T00:59:59Z', zone)).toBe(false);
    expect(open({}, '2026-03-29T01:00:00Z', zone)).toBe(true);
    expect(open({}, '2026-03-29T01:59:59Z', zone)).toBe(true);
    expect(open({}, '2026-03-29T02:00:00Z', zone)).toBe(false);
    const minutes = Array.from(
      { length: 24 * 60 },
      (__, n) => Date.parse('2026-03-29T00:00:00Z') + n * 60_000,
    );
    const lost: FailbackWindow = { days: [], from: '02:00', to: '03:00' };
    expect(minutes.filter((now) => isOpen({ windows: [lost], timeZone: zone }, now))).toEqual([]);
  });

  test('back, the hour that comes twice is in the window twice', () => {
    // On 2026-10-25 it is 02:30 at 00:30 and at 01:30 UTC.
    for (const at of ['2026-10-25T00:30:00Z', '2026-10-25T01:30:00Z', '2026-10-25T02:59:59Z'])
      expect(open({}, at, zone)).toBe(true);
    expect(open({}, '2026-10-25T03:00:00Z', zone)).toBe(false);
    expect(open({}, '2026-10-24T23:59:59Z', zone)).toBe(false);
  });
});
