import { createServer, type AddressInfo, type Socket } from 'node:net';
import type { Config } from '../../src/config/config';
import { loadConfig } from '../../src/config/load-config';
import { checkBeforeStart } from '../../src/doctor/start-check';
import { sharedServers, type SharedServers } from '../support/servers';
import { TestSystem } from '../support/test-system';

let system: TestSystem | undefined;
afterEach(() => system?.stop());

async function configOf(servers: SharedServers): Promise<Config> {
  system = await TestSystem.create({ servers });
  return loadConfig({ file: system.configFile(), env: {}, checkHandlers: false, cwd: '/' });
}

test('where everybody answers, the way to etcd is known and nobody refuses', async () => {
  const config = await configOf(sharedServers());
  expect(await checkBeforeStart(config, config.regions[0]!)).toEqual({
    refused: [],
    measured: expect.stringMatching(/^a round trip to etcd takes [\d.]+ ms at best$/),
  });
});

test('servers that take connections and never answer hold a start up no longer than one limit', async () => {
  const sockets: Socket[] = [];
  const silent = createServer((socket) => sockets.push(socket.on('error', () => {})));
  await new Promise<void>((done) => silent.listen(0, '127.0.0.1', done));
  const address = `127.0.0.1:${(silent.address() as AddressInfo).port}`;
  const config = await configOf({ etcd: [address], rabbitmq: `amqp://${address}`, temporal: address });
  const began = performance.now();
  try {
    expect(await checkBeforeStart(config, config.regions[0]!)).toEqual({
      refused: [],
      measured: expect.stringMatching(/^the round trip to etcd is not known: .*no answer within/),
    });
    // One limit of 2.5 s after the other would be 5 s.
    expect(performance.now() - began).toBeLessThan(4_500);
  } finally {
    for (const socket of sockets) socket.destroy();
    silent.close();
  }
});
