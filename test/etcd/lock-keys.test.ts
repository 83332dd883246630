import fc from 'fast-check';
import { RefusedError } from '../../activities/errors';
import { decodeValue, encodeValue, LockKeys, prefixEnd, revisionNumber } from '../../src/etcd/lock-keys';

const bad = ['', '/', 'a/b', '../x', '.hidden', '-x', '_x', 'a b', 'a\n', 'ä', 'x'.repeat(201), 'a\0'];

test.each(bad)('the name %j cannot be used for anything', (name) => {
  const keys = new LockKeys('orders');
  expect(() => new LockKeys(name)).toThrow(RefusedError);
  expect(() => keys.candidate(name, 'pod')).toThrow(RefusedError);
  expect(() => keys.candidate('region', name)).toThrow(RefusedError);
  expect(() => keys.receipt(name)).toThrow(RefusedError);
  expect(() => keys.aborted(name)).toThrow(RefusedError);
  expect(() => keys.attempt(name)).toThrow(RefusedError);
});

test('whatever the names, a key stays directly below its prefix', () => {
  fc.assert(
    fc.property(fc.string(), fc.string(), fc.string(), (lock, region, pod) => {
      let parts: unknown;
      try {
        parts = new LockKeys(lock).candidate(region, pod).split('/');
      } catch (error) {
        parts = error instanceof RefusedError ? 'refused' : error;
      }
      expect(['refused', `,baton,${lock},candidates,${region},${pod}`]).toContain(String(parts));
      expect(parts === 'refused' || (parts as string[]).length === 6).toBe(true);
    }),
  );
});

test('counts of attempts lie outside of what is watched, and apart for each lock', () => {
  const { prefix } = new LockKeys('orders');
  const key = new LockKeys('orders').attempt('abc');
  expect(key).toBe('/baton-attempts/orders/abc');
  expect(key.startsWith(prefix)).toBe(false);
  expect(key < prefix || Buffer.from(key) >= prefixEnd(prefix)).toBe(true);
});

test('a candidate key is read back, and nothing else is', () => {
  const keys = new LockKeys('orders');
  expect(keys.parseCandidate(keys.candidate('us-east', 'p.1'))).toEqual({ region: 'us-east', pod: 'p.1' });
  for (const rest of ['', 'a', 'a/', '/b', 'a/b/c', 'a/(b)'])
    expect(keys.parseCandidate(`${keys.candidates}${rest}`)).toBeNull();
});

test('the range of a lock contains its keys and none of a lock with a similar name', () => {
  const keys = new LockKeys('orders');
  const inside = (key: string) =>
    Buffer.compare(Buffer.from(key), Buffer.from(keys.prefix)) >= 0 &&
    Buffer.compare(Buffer.from(key), prefixEnd(keys.prefix)) < 0;
  expect(inside(keys.holder)).toBe(true);
  expect(inside(keys.candidate('z', 'z'))).toBe(true);
  for (const name of ['orders-2', 'orders.x', 'orders0', 'order'])
    expect(inside(new LockKeys(name).holder)).toBe(false);
});

test('whatever bytes stand in a key, reading them gives a value or one sentence', () => {
  fc.assert(
    fc.property(
      fc.oneof(
        fc.uint8Array(),
        fc.json().map((text) => Buffer.from(text)),
      ),
      (bytes) => {
        const decoded = decodeValue('holder', '/baton/x/holder', Buffer.from(bytes));
        const fine =
          'problem' in decoded
            ? decoded.problem.includes('/baton/x/holder')
            : typeof decoded.value.pod === 'string';
        expect(fine).toBe(true);
      },
    ),
  );
  const paused = { who: 'ann', why: 'maintenance', when: '2026-01-01T00:00:00Z' };
  expect(decodeValue('paused', 'k', encodeValue('paused', paused))).toEqual({ value: paused });
  expect(decodeValue('paused', '/k', Buffer.from('{"who":1}'))).toEqual({
    problem: expect.stringMatching(/^the value of \/k is not a valid paused \(who: .*\): "\{/) as string,
  });
});

test('a revision that JavaScript cannot hold exactly is an error', () => {
  expect(revisionNumber('9007199254740991')).toBe(Number.MAX_SAFE_INTEGER);
  expect(() => revisionNumber('9007199254740993')).toThrow(RangeError);
  expect(() => revisionNumber('x')).toThrow(RangeError);
});
