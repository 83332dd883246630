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

test('each count lies under a lease of about a day, which is replaced when etcd does not know it any more', async () => {
  const record = new AttemptRecord(fixture.client, fixture.lock);
  await record.begin('abc');
  const leaseOf = async () => {
    const key = Buffer.from(fixture.keys.attempt('abc'));
    return String((await fixture.client.range('look', { key })).kvs[0]?.lease);
  };
  const lease = await leaseOf();
  expect((await fixture.store.keepAlive(lease)).ttlMs).toBe(24 * 3_600_000);
  await fixture.store.revokeLease(lease);
  expect(await record.begin('abc')).toBe(1);
  expect(await leaseOf()).not.toBe(lease);
});
