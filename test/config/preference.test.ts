import { ConfigFolder, minimal } from './config-file';

const folder = new ConfigFolder();
afterAll(() => folder.remove());

const loaded = (preference: unknown) => folder.load(minimal({ preference })).locks[0]?.preference;
const weekend = { days: ['sat', 'sun'], from: '22:00', to: '04:00' };

test('what is not given has a default', () => {
  expect(loaded({})).toEqual({ order: [], never: [], failback: null });
  expect(loaded({ order: ['us-west'], never: ['us-east'] })).toEqual({
    order: ['us-west'],
    never: ['us-east'],
    failback: null,
  });
  expect(loaded({ order: ['us-west'], failback: {} })).toMatchObject({
    failback: { windows: [], timeZone: 'UTC', healthyForMs: 600_000 },
  });
  const failback = { windows: [weekend, { from: '12:00', to: '13:00' }], timeZone: 'Europe/Berlin' };
  expect(loaded({ order: ['us-west'], failback })).toMatchObject({
    failback: { windows: [weekend, { days: [], from: '12:00', to: '13:00' }], timeZone: 'Europe/Berlin' },
  });
});

test('a lock overrides the defaults one by one', () => {
  const config = folder.load({
    ...minimal({ preference: { order: ['us-west'] } }),
    defaults: { preference: { order: ['us-east'], failback: { healthyForMs: 5 } } },
  });
  expect(config.locks[0]?.preference).toMatchObject({ order: ['us-west'], failback: { healthyForMs: 5 } });
});

describe('what is refused, in one line', () => {
  const at = 'locks.orders.preference';
  const window = (change: Record<string, unknown>) => ({
    order: ['us-east'],
    failback: { windows: [{ ...weekend, ...change }] },
  });
  test.each<[string, unknown, string]>([
    [
      'an unknown region in the order',
      { order: ['us-east', 'us-wets'] },
      `${at}.order.1 is us-wets: is not in the configuration; did you mean us-west?`,
    ],
    [
      'an unknown region that is never active',
      { never: ['mars'] },
      `${at}.never.0 is mars: is not in the configuration; there are us-east, us-west`,
    ],
    ['a region twice', { order: ['us-east', 'us-east'] }, `${at}.order.1 is us-east: must stand there once`],
    [
      'a region in both',
      { order: ['us-east'], never: ['us-east'] },
      `${at}.never.0 is us-east: must not stand in order as well`,
    ],
    [
      'no region left',
      { never: ['us-east', 'us-west'] },
      `${at}.never is us-east, us-west: must leave at least one region that may be active`,
    ],
    [
      'failback without an order',
      { failback: {} },
      `${at}.order: must be given together with failback: the regions to go back to`,
    ],
    ['a list that is none', { order: 'us-east' }, `${at}.order is us-east: must be a list of regions`],
    [
      'a list that is none, with failback',
      { order: 'us-east', failback: {} },
      `${at}.order is us-east: must be a list of regions`,
    ],
    [
      'an unknown time zone',
      { order: ['us-east'], failback: { timeZone: 'Europe/Atlantis' } },
      `${at}.failback.timeZone is Europe/Atlantis: must be a time zone by its IANA name, as Europe/Berlin`,
    ],
    [
      'a time below zero',
      { order: ['us-east'], failback: { healthyForMs: -1 } },
      `${at}.failback.healthyForMs is -1: must be a whole number of milliseconds, 0 or more`,
    ],
    [
      'a time of day that is none',
      window({ from: '24:00' }),
      `${at}.failback.windows.0.from is 24:00: must be a time of day from 00:00 to 23:59, in quotes`,
    ],
    ['a window without an end', window({ to: undefined }), `${at}.failback.windows.0.to is empty: must be a`],
    [
      'a day that is none',
      window({ days: ['sat', 'sonntag'] }),
      `${at}.failback.windows.0.days.1 is sonntag: must be a list of at least one of sun, mon`,
    ],
    ['no day', window({ days: [] }), `${at}.failback.windows.0.days is an empty list: must be a list of at`],
    [
      'an empty window',
      window({ to: '22:00' }),
      `${at}.failback.windows.0.to is 22:00: must not be the same as from`,
    ],
    [
      'an unknown setting of a window',
      window({ day: ['sat'] }),
      `${at}.failback.windows.0.day: is not a setting; did you mean days?`,
    ],
  ])('%s', (_, preference, expected) => {
    const { message } = folder.error(minimal({ preference }));
    expect(message).toContain(expected);
    expect(message.split('\n')).toHaveLength(1);
  });
});
