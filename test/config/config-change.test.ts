import { differences, takeOver } from '../../src/config/config-change';
import { ConfigFolder, minimal } from './config-file';

const folder = new ConfigFolder();
afterAll(() => folder.remove());

const load = (lock: Record<string, unknown> = {}, top: Record<string, unknown> = {}) =>
  folder.load({ ...minimal(lock), ...top });

describe('what a running pod takes over', () => {
  const live: [string, Record<string, unknown>, Record<string, unknown>][] = [
    ['the log level', {}, { logLevel: 'debug' }],
    ['the times of the workflow', { beatMs: 12_000, historyLimit: 900, minSwitchIntervalMs: 5_000 }, {}],
    ['limits', { drainLimitMs: 1, stallLimitMs: 900, healthLimitMs: 900, maxFailureRate: 0.5 }, {}],
    [
      'who is asked',
      { approvalWithinMs: 5, hooks: [{ name: 'h', at: 'before-release', url: 'http://h' }] },
      {},
    ],
    ['where it should be', { preference: { order: ['us-west'], failback: { healthyForMs: 1 } } }, {}],
    ['drills', { drill: { allowCrash: true, objectiveMs: 5 }, maxChangesPerHour: 2 }, {}],
    ['how much at once', { queue: { name: 'orders', prefetch: 40, concurrency: 30, maxDeliveries: 9 } }, {}],
    ['the interval of the views', {}, { verifyIntervalMs: 0 }],
  ];
  it.each(live)('%s', (_, lock, top) => {
    for (const [from, to] of [
      [load(), load(lock, top)],
      [load(lock, top), load()],
    ] as const) {
      const { changes, problems } = differences(from, to);
      expect(problems).toEqual([]);
      expect(changes.length).toBeGreaterThan(0);
      const [lockNow, queueNow] = [from.locks[0], from.locks[0]?.queue];
      takeOver(from, to);
      expect(differences(from, to)).toEqual({ changes: [], problems: [] });
      // In place: everybody has these very objects.
      expect([from.locks[0], from.locks[0]?.queue]).toEqual([lockNow, queueNow]);
      expect(from.locks[0]).toBe(lockNow);
    }
  });
});

describe('what needs a restart is refused, with both values', () => {
  const refused: [string, Record<string, unknown>, Record<string, unknown>, string][] = [
    [
      'the TTL',
      { leaseTtlMs: 8_000 },
      {},
      'locks.orders.leaseTtlMs: cannot change from 10000 to 8000 while the pod runs: restart needed',
    ],
    [
      'the queue',
      { queue: { name: 'other' } },
      {},
      'locks.orders.queue.name: cannot change from orders to other while the pod runs: restart needed',
    ],
    [
      'the process',
      { process: 'own' },
      {},
      'locks.orders.process: cannot change from shared to own while the pod runs: restart needed',
    ],
    [
      'a server',
      {},
      { etcd: { endpoints: ['http://other:2379'] } },
      'etcd.endpoints: cannot change from [http://localhost:2379] to [http://other:2379] while the pod runs: restart needed',
    ],
    [
      'a new port',
      {},
      { health: { port: 1 } },
      'health.port: cannot change from 8080 to 1 while the pod runs: restart needed',
    ],
    [
      'a password, without showing it',
      {},
      { etcd: { endpoints: ['http://localhost:2379'], username: 'u', password: 'secret' } },
      'etcd.password: cannot change from none to *** while the pod runs: restart needed',
    ],
    [
      'a region that is new',
      {},
      {
        regions: {
          'us-east': { amqpUrl: 'amqp://localhost:5672' },
          'us-west': { amqpUrl: 'amqp://localhost:5673' },
          eu: null,
        },
      },
      'regions.eu.name: cannot change from none to eu while the pod runs: restart needed',
    ],
  ];
  it.each(refused)('%s', (_, lock, top, sentence) => {
    const texts = differences(load(), load(lock, top)).problems.map(
      ({ setting, expected }) => `${setting}: ${expected}`,
    );
    expect(texts).toContain(sentence);
    expect(texts.join()).not.toContain('secret');
  });

  it('a lock that is gone, whose other settings changed, too', () => {
    const both = folder.load({
      ...minimal(),
      locks: {
        orders: { queue: { name: 'orders' }, handler: './handler.js' },
        bills: { queue: { name: 'bills' }, handler: './handler.js' },
      },
    });
    const { problems } = differences(both, load());
    expect(problems.map(({ setting }) => setting)).toContain('locks.bills.name');
  });
});

test('a new lock is a restart, even where all of its settings could change live', () => {
  const { problems } = differences(
    load(),
    folder.load({
      ...minimal(),
      locks: {
        orders: { queue: { name: 'orders' }, handler: './handler.js' },
        bills: { queue: { name: 'bills' }, handler: './handler.js' },
      },
    }),
  );
  expect(problems.map(({ expected }) => expected)).toContain(
    'cannot change from none to bills while the pod runs: restart needed',
  );
});
