import { createLogger, lockLogger, setLogLevel } from '../../src/telemetry/logger';

function recorder() {
  const lines: string[] = [];
  const logger = createLogger({
    region: 'us-east',
    pod: 'pod-1',
    level: 'info',
    destination: { write: (line) => void lines.push(line) },
  });
  return { logger, parsed: () => lines.map((line) => JSON.parse(line) as Record<string, unknown>), lines };
}

test('every line is JSON with region, pod and lock', () => {
  const { logger, parsed } = recorder();
  lockLogger(logger, 'orders').warn({ token: 7, reason: 'why' }, 'tenure ended');
  logger.debug('below the level');
  expect(parsed()).toEqual([
    {
      level: 'warn',
      time: expect.stringMatching(/^\d{4}-.*Z$/),
      region: 'us-east',
      pod: 'pod-1',
      lock: 'orders',
      token: 7,
      reason: 'why',
      msg: 'tenure ended',
    },
  ]);
});

test('no secret reaches a line, by key or inside a text', () => {
  const { logger, lines, parsed } = recorder();
  logger.info(
    { etcd: { password: 'hunter2', username: 'u' }, settings: { etcd: { password: 'hunter2' } } },
    'settings',
  );
  logger.error(
    { err: new Error('connect to amqp://user:hunter2@host failed') },
    'broker amqps://user:hun/t@er2:hunter2@host/"x"\n is gone',
  );
  logger.info({ url: 'https://host/?password=hunter2&x=1' }, 'query');
  expect(lines.join('')).not.toContain('hunter2');
  expect(parsed()).toHaveLength(3);
  expect(lines.join('')).toContain('amqp://user:***@host');
});

test('a long line without addresses costs no time', () => {
  const { logger } = recorder();
  // Of this process alone: what others take from the machine does not count.
  const before = process.cpuUsage();
  logger.info({ body: `${'a'.repeat(500_000)}@=` }, 'x');
  logger.info({ body: 'a:b:'.repeat(2_000) }, 'x');
  expect(process.cpuUsage(before).user / 1e6).toBeLessThan(10);
});

test('a level that changes later reaches what was made before, at any depth, but not what has a level of its own', () => {
  const { logger, parsed } = recorder();
  const tenure = lockLogger(logger, 'orders').child({ token: 7 });
  const silent = logger.child({}, { level: 'silent' });
  setLogLevel(logger, 'debug');
  for (const each of [logger, tenure, silent, tenure.child({})]) each.debug('now');
  expect(parsed()).toHaveLength(3);
  setLogLevel(logger, 'error');
  for (const each of [logger, tenure, tenure.child({})]) each.warn('not any more');
  expect(parsed()).toHaveLength(3);
});
