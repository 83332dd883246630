import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { OrderJournal } from '../src/order-journal.js';

let folder = '';
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'orders-'));
});
after(() => rm(folder, { recursive: true }));

test('an order that comes twice counts once', async () => {
  const journal = new OrderJournal(join(folder, 'twice.ndjson'));
  await journal.append({ id: 'a', pieces: 1 }, 7);
  await journal.append({ id: 'a', pieces: 1 }, 9);
  assert.deepEqual(await journal.orders(), [{ id: 'a', pieces: 1 }]);
});

test('what a stale tenure writes does not count', async () => {
  const journal = new OrderJournal(join(folder, 'stale.ndjson'));
  await journal.append({ id: 'a', pieces: 1 }, 9);
  await journal.append({ id: 'b', pieces: 2 }, 7);
  await journal.append({ id: 'c', pieces: 3 }, 9);
  assert.deepEqual(
    (await journal.orders()).map(({ id }) => id),
    ['a', 'c'],
  );
});
