import fc from 'fast-check';
import { RefusedError } from '../../activities/errors';
import { BatonClient } from '../../src/client/baton-client';
import { UnknownNameError } from '../../src/client/errors';
import { LockKeys, prefixEnd } from '../../src/etcd/lock-keys';
import { isName, isQueueName, podQueue } from '../../workflows/names';
import { ConfigFolder, minimal } from '../config/config-file';
import { fuzzRuns, thrownBy } from './fuzz-runs';
import { hostileText } from './hostile-values';

const folder = new ConfigFolder();
afterAll(() => folder.remove());

const alphanumeric = fc.constantFrom('a', 'z', 'A', 'Z', '0', '9');
const rest = fc
  .array(fc.constantFrom('a', 'Z', '0', '.', '_', '-'), { maxLength: 30 })
  .map((parts) => parts.join(''));
const good = fc.tuple(alphanumeric, rest).map((parts) => parts.join(''));
const anyName = fc.oneof(good, hostileText);

function allKeys(keys: LockKeys, name: string): string[] {
  return [
    ...[keys.holder, keys.last, keys.successor, keys.blocked, keys.paused, keys.tripped, keys.acked],
    ...[keys.candidate(name, name), keys.cordon(name), keys.aborted(name), keys.receipt(name)],
  ];
}

test('a name is refused, or all its keys lie strictly inside the range of its own lock', () => {
  fc.assert(
    fc.property(anyName, anyName, anyName, (lock, other, part) => {
      const fits = isName(lock) && isName(part);
      const error = thrownBy(() => allKeys(new LockKeys(lock), part));
      expect(error === null ? null : error instanceof RefusedError).toBe(fits ? null : true);
      if (!fits) return;
      const mine = new LockKeys(lock);
      const keys = allKeys(mine, part);
      const others = isName(other) && other !== lock ? [new LockKeys(other).prefix] : [];
      const within = (key: string, prefix: string): boolean =>
        Buffer.compare(Buffer.from(key), Buffer.from(prefix)) > 0 &&
        Buffer.compare(Buffer.from(key), prefixEnd(prefix)) < 0;
      expect(keys.filter((key) => !within(key, `/baton/${lock}/`))).toEqual([]);
      expect(keys.filter((key) => /\/\/|\/\.|[^\x21-\x7e]/.test(key))).toEqual([]);
      expect(keys.filter((key) => others.some((prefix) => within(key, prefix)))).toEqual([]);
      expect(within(mine.attempt(part), mine.prefix)).toBe(false);
      expect(isQueueName(podQueue(lock, part))).toBe(true);
    }),
    fuzzRuns(2_000),
  );
});

test.each([
  ['a', 'a.'],
  ['a', 'ab'],
  ['a', 'a-b'],
  ['a', 'a0'],
  ['orders', 'orders.dead'],
])('the ranges of %s and %s have nothing in common', (one, two) => {
  const [first, second] = [new LockKeys(one), new LockKeys(two)];
  const apart = (low: LockKeys, high: LockKeys): boolean =>
    Buffer.compare(prefixEnd(low.prefix), Buffer.from(high.prefix)) <= 0;
  expect(apart(first, second) || apart(second, first)).toBe(true);
});

test('the configuration and the client refuse every other name, and say which', async () => {
  folder.write(minimal());
  const client = BatonClient.open({ config: `${folder.path}/baton.yaml`, env: {} });
  try {
    for (const name of [
      '',
      'a/b',
      '../a',
      '..',
      'a\0',
      'ä',
      '%2e',
      'x'.repeat(64),
      'a b',
      '-a',
      '__proto__',
    ]) {
      const locks = JSON.parse(
        `{${JSON.stringify(name)}: {"queue": {"name": "q"}, "handler": "./handler.js"}}`,
      );
      const regions = JSON.parse(`{${JSON.stringify(name)}: {"amqpUrl": "amqp://localhost"}}`);
      expect(folder.error({ ...minimal(), locks }).message).toContain('locks');
      expect(folder.error({ ...minimal(), regions }).message).toContain('regions');
      const switching = client.switchTo({ lock: name, to: 'us-west', reason: 'x', by: 'y' });
      await expect(switching).rejects.toThrow(UnknownNameError);
      const towards = client.switchTo({ lock: 'orders', to: name, reason: 'x', by: 'y' });
      await expect(towards).rejects.toThrow(UnknownNameError);
    }
  } finally {
    await client.close();
  }
});
