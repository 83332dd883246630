import { LeaseReader } from '../../src/client/lease-reader';
import { LockFixture } from '../etcd/lock-fixture';
import { sharedServers } from '../support/servers';

const fixture = new LockFixture();
const endpoints = sharedServers().etcd.map((address) =>
  address.includes('://') ? address : `http://${address}`,
);
const reader = new LeaseReader({ endpoints }, 10_000);
afterAll(async () => {
  reader.close();
  await fixture.close();
});

test('a holder’s lease tells how long it has to live', async () => {
  const candidate = await fixture.stand('us-east', 'e1-aa', 60_000);
  await fixture.acquire(candidate);
  const { holder } = await fixture.store.read();
  const leftMs = await reader.ttlLeftMs(holder!.leaseId);
  expect(leftMs).toBeGreaterThan(20_000);
  expect(leftMs).toBeLessThanOrEqual(60_000);
});

test('a lease that is gone, and an etcd that is away, are blanks', async () => {
  const lease = await fixture.lease();
  await fixture.store.revokeLease(lease);
  expect(await reader.ttlLeftMs(lease)).toBeNull();
  const away = new LeaseReader({ endpoints: ['http://127.0.0.1:1'] }, 300);
  const began = performance.now();
  expect(await away.ttlLeftMs(lease)).toBeNull();
  expect(performance.now() - began).toBeLessThan(15_000);
  away.close();
});
