import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { ConfigFolder, minimal } from './config-file';

const folder = new ConfigFolder();
afterAll(() => folder.remove());

test('the least configuration gets every default', () => {
  expect(folder.load(minimal())).toEqual({
    regions: [
      { name: 'us-east', amqpUrl: 'amqp://localhost:5672' },
      { name: 'us-west', amqpUrl: 'amqp://localhost:5673' },
    ],
    etcd: { endpoints: ['http://localhost:2379'] },
    temporal: {},
    health: { host: '0.0.0.0', port: 8080 },
    verifyIntervalMs: 30_000,
    logLevel: 'info',
    locks: [
      {
        name: 'orders',
        leaseTtlMs: 10_000,
        deadlineMarginMs: 1000,
        keeperIntervalMs: 4500,
        abortLeadMs: 500,
        beatMs: 10_000,
        drainLimitMs: 30_000,
        stallLimitMs: 5000,
        healthLimitMs: 10_000,
        verificationMaxAgeMs: 1000,
        requestTimeoutMs: 1000,
        minSwitchIntervalMs: 0,
        maxChangesPerHour: 6,
        approvalWithinMs: 0,
        hooks: [],
        maxFailureRate: 1,
        historyLimit: 500,
        drill: { objectiveMs: null, crashObjectiveMs: null, allowCrash: false },
        preference: { order: [], never: [], failback: null },
        queue: {
          name: 'orders',
          declare: true,
          deadLetterExchange: 'orders.dead',
          deliveryLimit: 100,
          prefetch: 10,
          concurrency: 10,
          maxDeliveries: 5,
          heartbeatSeconds: 5,
        },
        handler: path.join(folder.path, 'handler.js'),
        process: 'shared',
      },
    ],
  });
});

test('the example in the repository loads', () => {
  const cwd = path.resolve(__dirname, '../..');
  const text = readFileSync(path.join(cwd, 'baton.yaml'), 'utf8');
  expect(folder.load(text, { checkHandlers: false }).locks.map(({ name }) => name)).toEqual(['orders']);
});

test('defaults hold for all locks, and a lock overrides them setting by setting', () => {
  const config = folder.load({
    ...minimal(),
    defaults: {
      leaseTtlMs: 5000,
      handler: './handler.js',
      queue: { concurrency: 3, prefetch: 30 },
      drill: { objectiveMs: 100, crashObjectiveMs: 8000 },
    },
    locks: {
      a: { queue: { name: 'qa' } },
      b: {
        leaseTtlMs: 8000,
        queue: { name: 'qb', concurrency: 4 },
        drill: { objectiveMs: 50, allowCrash: true },
      },
    },
  });
  expect(config.locks).toMatchObject([
    {
      name: 'a',
      leaseTtlMs: 5000,
      queue: { name: 'qa', concurrency: 3, prefetch: 30 },
      drill: { objectiveMs: 100, crashObjectiveMs: 8000, allowCrash: false },
    },
    {
      name: 'b',
      leaseTtlMs: 8000,
      queue: { name: 'qb', concurrency: 4, prefetch: 30 },
      drill: { objectiveMs: 50, crashObjectiveMs: 8000, allowCrash: true },
    },
  ]);
});

test('all problems are reported at once, one line each', () => {
  const error = folder.error({
    regions: { 'us east': { amqpUrl: 'http://broker' } },
    etcd: { endpoints: ['localhost:2379'], pasword: 'hunter2' },
    health: { port: 70_000 },
    logLevel: 'loud',
    locks: {
      orders: {
        leaseTtlMs: 10_000,
        keeperIntervalMs: 9000,
        queue: { name: 'orders', prefech: 5 },
        handler: './none.js',
      },
      billing: { leaseTtlMs: 2500, queue: { name: 'orders' } },
    },
  });
  const expected = [
    /^etcd\.endpoints\.0 is localhost:2379: must be an address like http/,
    /^etcd\.pasword: is not a setting; did you mean password\?$/,
    /^health\.port is 70000: must be a whole number, from 0 to 65535$/,
    /^locks\.billing\.handler: must be given/,
    /^locks\.billing\.leaseTtlMs is 2500: must be whole seconds in milliseconds, from 2000 to 3600000$/,
    /^locks\.billing\.queue\.name is orders: must not be the queue of another lock \(orders\)$/,
    /^locks\.orders\.handler is \.\/none\.js: must be a file; there is none at \//,
    /^locks\.orders\.keeperIntervalMs is 9000: must be at most half of leaseTtlMs \(5000\)$/,
    /^locks\.orders\.queue\.prefech: is not a setting; did you mean prefetch\?$/,
    /^logLevel is loud: must be one of trace/,
    /^regions\.us east\.amqpUrl is http:\/\/broker: must be an address like amqp/,
    /^regions\.us east: the name must be 1 to 63/,
  ];
  const lines = error.message.split('\n').toSorted();
  expect(lines).toEqual(expected.map((line) => expect.stringMatching(line)));
  expect(error.problems).toHaveLength(expected.length);
});

describe('what is refused', () => {
  const refused: [string, Record<string, unknown>, string][] = [
    ['no region', { ...minimal(), regions: {} }, 'regions: must be given'],
    ['no lock', { ...minimal(), locks: {} }, 'locks: must be given'],
    ['no etcd endpoint', { ...minimal(), etcd: { endpoints: [] } }, 'etcd.endpoints is an empty list'],
    ['no etcd', { ...minimal(), etcd: {} }, 'etcd.endpoints: must be given'],
    [
      'a lock without settings',
      { ...minimal(), locks: { orders: null } },
      'locks.orders is empty: must be a map',
    ],
    [
      'an unknown top-level setting',
      { ...minimal(), lock: {} },
      'lock: is not a setting; did you mean locks?',
    ],
    ['a name with a slash', { ...minimal(), regions: { 'a/b': null } }, 'regions.a/b: the name must be'],
    [
      'mixed schemes',
      { ...minimal(), etcd: { endpoints: ['http://a:1', 'https://b:1'] } },
      'must be all http://',
    ],
    [
      'credentials in an endpoint',
      { ...minimal(), etcd: { endpoints: ['http://u:p@a:1'] } },
      'without credentials',
    ],
    [
      'a user without password',
      { ...minimal(), etcd: { endpoints: ['http://a:1'], username: 'u' } },
      'etcd.password: must be given together with username',
    ],
    [
      'a missing PEM file',
      { ...minimal(), etcd: { endpoints: ['https://a:1'], caFile: 'no.pem' } },
      'etcd.caFile is no.pem: must be a readable file',
    ],
    [
      'a Temporal address with scheme',
      { ...minimal(), temporal: { address: 'http://t:7233' } },
      'temporal.address is http://t:7233: must be host:port',
    ],
    [
      'a number as text',
      minimal({ leaseTtlMs: '10000' }),
      'locks.orders.leaseTtlMs is 10000: must be whole seconds',
    ],
    [
      'a fraction',
      minimal({ drainLimitMs: 1.5 }),
      'locks.orders.drainLimitMs is 1.5: must be a whole number',
    ],
    [
      'a reserved queue name',
      minimal({ queue: { name: 'amq.q' } }),
      'locks.orders.queue.name is amq.q: must be the name of a queue',
    ],
    [
      'a hook that is both',
      minimal({ hooks: [{ name: 'h', at: 'after-release', url: 'http://a/b', command: ['x'] }] }),
      'locks.orders.hooks.0: must have exactly one of url and command',
    ],
    [
      'a hook without a name',
      minimal({ hooks: [{ at: 'after-release', command: ['x'] }] }),
      'locks.orders.hooks.0.name: must be given',
    ],
    [
      'a hook at a stage that there is not',
      minimal({ hooks: [{ name: 'h', at: 'before', command: ['x'] }] }),
      'locks.orders.hooks.0.at is before: must be one of before-release, after-release, after-takeover',
    ],
    [
      'two hooks of one name',
      minimal({
        hooks: [
          { name: 'h', at: 'after-release', command: ['x'] },
          { name: 'h', at: 'after-takeover', command: ['x'] },
        ],
      }),
      'locks.orders.hooks.1.name is h: must not be the name of another hook',
    ],
    [
      'a hook that cannot stop anything any more',
      minimal({ hooks: [{ name: 'h', at: 'after-release', command: ['x'], onFailure: 'go-on' }] }),
      'locks.orders.hooks.0.onFailure is go-on: is for hooks at before-release only',
    ],
    [
      'an approval that is waited for too long',
      minimal({ approvalWithinMs: 604_800_001 }),
      'locks.orders.approvalWithinMs is 604800001: must be a whole number of milliseconds, from 0 to 604800000',
    ],
    [
      'a management address without credentials',
      { ...minimal(), regions: { 'us-east': { managementUrl: 'http://host:15672' } } },
      'regions.us-east.managementUrl is http://host:15672: must be an address like http://user:password@host',
    ],
    [
      'a management address of AMQP, with its password hidden',
      { ...minimal(), regions: { 'us-east': { managementUrl: 'amqp://baton:hunter2@host:5672' } } },
      'regions.us-east.managementUrl is amqp://baton:***@host:5672: must be an address like http',
    ],
    [
      'a password that cannot be decoded',
      { ...minimal(), regions: { 'us-east': { managementUrl: 'http://baton:hun%ter2@host' } } },
      'regions.us-east.managementUrl is http://baton:***@host: must be',
    ],
    [
      'a drill without a time',
      minimal({ drill: { objectiveMs: 0 } }),
      'locks.orders.drill.objectiveMs is 0: must be a whole number of milliseconds, 1 or more',
    ],
    [
      'a crash that is neither allowed nor not',
      minimal({ drill: { allowCrash: 'yes' } }),
      'locks.orders.drill.allowCrash is yes: must be true or false',
    ],
    ['a lock without queue', minimal({ queue: {} }), 'locks.orders.queue.name: must be given'],
  ];
  test.each(refused)('%s', (_, content, expected) => {
    expect(folder.error(content).message).toContain(expected);
    expect(folder.problems(content)).toHaveLength(1);
  });

  test('an unknown region', () => {
    expect(folder.error(minimal(), { region: 'us-eat' }).message).toBe(
      '--region is us-eat: is not in the configuration; did you mean us-east?',
    );
  });
  test('a file that is not there', () => {
    expect(() => folder.load(minimal(), { file: 'other.yaml' })).toThrow(
      /other\.yaml: must be a readable file: there is no such file/,
    );
  });
  test('broken YAML, without quoting it', () => {
    expect(folder.error('etcd:\n  password: "hunter2\nlocks: [').message).toMatch(
      /baton\.yaml:\d+:\d+: must be valid YAML/,
    );
    expect(folder.error('etcd:\n  password: "hunter2\nlocks: [').message).not.toContain('hunter2');
  });
});

describe('the environment', () => {
  test('wins over the file, also with Temporal’s own variables', () => {
    const config = folder.load(
      { ...minimal(), temporal: { address: 'file:1', namespace: 'file' } },
      {
        region: 'us-east',
        env: {
          BATON_ETCD_ENDPOINTS: 'http://a:1, http://b:2/',
          BATON_RABBITMQ_URL: 'amqp://own',
          BATON_RABBITMQ_URL_US_WEST: 'amqps://west',
          BATON_RABBITMQ_MANAGEMENT_URL_US_EAST: 'https://baton:secret@east:15671/rabbit',
          TEMPORAL_ADDRESS: 'own:2',
          TEMPORAL_NAMESPACE: 'own',
          BATON_TEMPORAL_NAMESPACE: 'baton',
          BATON_HEALTH_PORT: '0',
          BATON_HEALTH_HOST: '127.0.0.1',
          BATON_LOG_LEVEL: 'debug',
        },
      },
    );
    expect(config).toMatchObject({
      regions: [
        { amqpUrl: 'amqp://own', managementUrl: 'https://baton:secret@east:15671/rabbit' },
        { amqpUrl: 'amqps://west' },
      ],
      etcd: { endpoints: ['http://a:1', 'http://b:2'] },
      temporal: { address: 'own:2', namespace: 'baton' },
      health: { host: '127.0.0.1', port: 0 },
      logLevel: 'debug',
    });
  });

  test('gives secrets by file as well', () => {
    const file = path.join(folder.path, 'secret');
    writeFileSync(file, 's3cret\n');
    const config = folder.load(minimal(), {
      env: { BATON_ETCD_USERNAME: 'root', BATON_ETCD_PASSWORD_FILE: file },
    });
    expect(config.etcd).toMatchObject({ username: 'root', password: 's3cret' });
    expect(
      folder.error(minimal(), { env: { BATON_ETCD_PASSWORD: 'x', BATON_ETCD_PASSWORD_FILE: file } }).message,
    ).toContain('BATON_ETCD_PASSWORD: must not be set together with BATON_ETCD_PASSWORD_FILE');
  });

  test('is named where its value is wrong', () => {
    expect(folder.error(minimal(), { env: { BATON_HEALTH_PORT: 'http' } }).message).toBe(
      'health.port (from BATON_HEALTH_PORT) is http: must be a whole number, from 0 to 65535',
    );
  });

  test('only this pod’s region needs a broker', () => {
    const content = { ...minimal(), regions: { 'us-east': null, 'us-west': null } };
    expect(folder.load(content).regions[0]?.amqpUrl).toBe('');
    expect(
      folder.load(content, { region: 'us-west', env: { BATON_RABBITMQ_URL: 'amqp://w' } }).regions,
    ).toEqual([
      { name: 'us-east', amqpUrl: '' },
      { name: 'us-west', amqpUrl: 'amqp://w' },
    ]);
    expect(folder.error(content, { region: 'us-west' }).message).toMatch(
      /regions\.us-west\.amqpUrl: must be given, here or by BATON_RABBITMQ_URL or BATON_RABBITMQ_URL_US_WEST/,
    );
  });
});

test.each([
  ['a broken address', { regions: { 'us-east': { amqpUrl: 'htp://user:hunter2@host' } } }],
  [
    'an address with a slash in the password',
    { regions: { 'us-east': { amqpUrl: 'htp://user:hun/hunter2@host' } } },
  ],
  ['an address without slashes', { regions: { 'us-east': { amqpUrl: 'amqp:user:hunter2@host' } } }],
  [
    'a management address without a scheme',
    { regions: { 'us-east': { managementUrl: 'user:hunter2@host:15672' } } },
  ],
  ['an address in the wrong place', { regions: 'amqp://user:hunter2@host' }],
  [
    'a password of the wrong type',
    { etcd: { endpoints: ['http://a:1'], username: 'u', password: ['hunter2'] } },
  ],
  ['a secret under a wrong name', { etcd: { endpoints: ['http://a:1'], passwort: 'hunter2' } }],
  ['an endpoint with credentials', { etcd: { endpoints: ['http://root:hunter2@a:1'] } }],
  ['an API key as a number', { temporal: { apiKey: 77_777_777 } }],
])('no secret is shown: %s', (_, part) => {
  const { message } = folder.error({ ...minimal(), ...part });
  expect(message).not.toContain('hunter2');
  expect(message).not.toContain('77777777');
});

test('the keys for payloads are checked: folder, each file, and the id of the one that encrypts', () => {
  const keys = path.join(folder.path, 'keys');
  const problem = (encryption: unknown): string =>
    folder
      .error({ ...minimal(), temporal: { encryption } })
      .problems.map(({ expected }) => expected)
      .join();
  expect(problem({ keyId: 'k1' })).toBe('must be given: a folder with a file for each key');
  expect(problem({ keysFolder: 'nowhere' })).toContain('must be a folder of keys: ENOENT');
  mkdirSync(keys);
  writeFileSync(path.join(keys, '..data'), 'passed over');
  writeFileSync(path.join(keys, 'k1'), `${'ab'.repeat(32)}\n`);
  expect(problem({ keysFolder: 'keys', keyId: 'k2' })).toBe(
    `must be the name of a file in ${keys}, which has k1`,
  );
  const { temporal } = folder.load({ ...minimal(), temporal: { encryption: { keysFolder: 'keys' } } });
  expect(temporal.encryption).toEqual({ keysFolder: keys });
  writeFileSync(path.join(keys, 'k1'), 'hunter2');
  const short = folder.error({ ...minimal(), temporal: { encryption: { keysFolder: 'keys' } } });
  expect(short.message).toContain('must hold a key of 32 bytes');
  expect(short.message).not.toContain('hunter2');
});

test('where a secret was read from is kept, so that it can be read again', () => {
  const file = path.join(folder.path, 'secret');
  writeFileSync(file, 'amqp://user:one@broker\n');
  const env = { BATON_RABBITMQ_URL_FILE: file };
  const { regions } = folder.load(minimal(), { env, region: 'us-east' });
  expect(regions.find(({ name }) => name === 'us-east')).toMatchObject({
    amqpUrl: 'amqp://user:one@broker',
    amqpUrlFile: file,
  });
});
