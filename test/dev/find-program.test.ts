import { checkPrograms, missingPrograms } from '../../src/dev/find-program';
import { neededPrograms } from '../../src/dev/given-servers';
import { startDevStack } from '../../src/dev/dev-stack';

const before = { ...process.env };
afterEach(() => {
  process.env = { ...before };
});

test('what is missing is named all at once, each with how to install it and what to set instead', () => {
  const text = (() => {
    try {
      checkPrograms(['no-such-server', 'node', 'neither-this']);
      return '';
    } catch (error) {
      return (error as Error).message;
    }
  })();
  expect(text.split('\n')).toHaveLength(2);
  expect(text).toMatch(/^no-such-server was found neither on PATH nor in /);
  expect(missingPrograms(['node'])).toEqual([]);
});

test('a server that is given by its address needs no program', () => {
  for (const name of ['BATON_DEV_ETCD', 'BATON_DEV_RABBITMQ', 'BATON_DEV_TEMPORAL']) delete process.env[name];
  expect(neededPrograms()).toEqual(['etcd', 'rabbitmq-server', 'temporal']);
  process.env['BATON_DEV_RABBITMQ'] = 'amqp://127.0.0.1:1';
  expect(neededPrograms()).toEqual(['etcd', 'temporal']);
  expect(neededPrograms(['rabbitmq', 'toxiproxy'])).toEqual([]);
});

test('without them nothing is started', async () => {
  for (const name of ['BATON_DEV_ETCD', 'BATON_DEV_RABBITMQ', 'BATON_DEV_TEMPORAL']) delete process.env[name];
  process.env['PATH'] = '/nowhere';
  process.env['XDG_CACHE_HOME'] = '/nowhere';
  // Only Temporal is never where this machine's packages put things.
  await expect(startDevStack({ servers: ['temporal'] })).rejects.toThrow(
    /^temporal was found neither on PATH nor in \/nowhere\/baton\/bin; install it \(.*go install .*temporal@v1\.5\.1\), or set BATON_DEV_TEMPORAL=host:port to one that runs$/,
  );
});
