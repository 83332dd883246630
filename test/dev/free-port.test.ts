import { createServer } from 'node:net';
import { freePorts, isFree } from '../../src/dev/free-port';

test('ports are free, different ones, and outside of what the kernel gives to outgoing connections', async () => {
  const ports = [...(await freePorts(20)), ...(await freePorts(20))];
  expect(new Set(ports).size).toBe(40);
  expect(ports.filter((port) => port < 15_000 || port >= 32_768)).toEqual([]);
  expect(await Promise.all(ports.map(isFree))).toEqual(ports.map(() => true));
});

test.each(['127.0.0.1', '0.0.0.0'])('a port on which somebody listens at %s is not free', async (host) => {
  const server = createServer();
  await new Promise<void>((done) => server.listen({ port: 0, host }, done));
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('expected a TCP address');
  expect(await isFree(address.port)).toBe(false);
  await new Promise((done) => server.close(done));
  expect(await isFree(address.port)).toBe(true);
});
