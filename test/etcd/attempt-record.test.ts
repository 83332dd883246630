import { AttemptRecord } from '../../src/etcd/attempt-record';
import { LockFixture } from './lock-fixture';

let fixture: LockFixture;
beforeEach(() => {
  fixture = new LockFixture();
});
afterEach(() => fixture.close());

test('attempts of one message add up over pods, also when they race', async () => {
  const one = new AttemptRecord(fixture.client, fixture.lock);
  const two = new AttemptRecord(fixture.client, fixture.lock);
  expect(await one.begin('abc')).toBe(1);
  expect(await two.begin('abc')).toBe(2);
  expect(await one.begin('other')).toBe(1);
  const raced = await Promise.all([1, 2, 3, 4].flatMap(() => [one.begin('abc'), two.begin('abc')]));
  expect(raced.toSorted((a, b) => a - b)).toEqual([3, 4, 5, 6, 7, 8, 9, 10]);
  await one.clear('abc');
  expect(await two.begin('abc')).toBe(1);
});

const leaseOf = async (id: string): Promise<string> => {
  const key = Buffer.from(fixture.keys.attempt(id));
  return String((await fixture.client.range('look', { key })).kvs[0]?.lease);
};

test('each count lies under a lease of about a day, which is granted anew when etcd does not know it any more', async () => {
  const record = new AttemptRecord(fixture.client, fixture.lock);
  await record.begin('abc');
  const lease = await leaseOf('abc');
  expect((await fixture.store.keepAlive(lease)).ttlMs).toBe(24 * 3_600_000);
  await fixture.store.revokeLease(lease);
  expect(await record.begin('abc')).toBe(1);
  expect((await fixture.store.keepAlive(await leaseOf('abc'))).ttlMs).toBe(24 * 3_600_000);
});

test('however many processes count, a lock has one lease, and another lock another', async () => {
  const records = Array.from({ length: 5 }, () => new AttemptRecord(fixture.client, fixture.lock));
  await Promise.all(records.map((record) => record.prepare()));
  const ids = records.map((_, i) => `message-${i}`);
  await Promise.all(records.map((record, i) => record.begin(ids[i]!)));
  const leases = new Set(await Promise.all(ids.map(leaseOf)));
  expect(leases.size).toBe(1);

  const other = new AttemptRecord(fixture.client, `${fixture.lock}-other`);
  await other.begin('abc');
  const key = Buffer.from(`/baton-attempts/${fixture.lock}-other/abc`);
  const { kvs } = await fixture.client.range('look', { key });
  expect(leases.has(String(kvs[0]?.lease))).toBe(false);
});
