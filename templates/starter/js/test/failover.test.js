import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { startTestSystem } from 'baton/testing';
import { OrderJournal } from '../src/order-journal.js';

// Both regions on this machine, with etcd, RabbitMQ and Temporal of their own: about twenty seconds in all.
let system;
let folder = '';
const orderOf = (n) => ({ id: `order-${n}`, pieces: n });

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'orders-'));
  system = await startTestSystem({
    config: 'baton.yaml',
    message: orderOf,
    environment: { ORDERS_FILE: join(folder, 'orders.ndjson') },
    onProgress: (line) => console.log(line),
  });
});
after(async () => {
  await system?.stop();
  await rm(folder, { recursive: true, force: true });
});

test('a planned switch and a killed pod lose nothing, and no two regions work at once', async () => {
  system.publish(100);
  await system.untilProcessed(100);

  const receipt = await system.switchTo('us-west');
  assert.equal(system.activeRegion, 'us-west');
  console.log(`switched, gap ${receipt?.gapMs} ms`);
  await system.untilProcessed(100);

  const { from, to } = await system.killHolder();
  console.log(`killed ${from.pod}; ${to.pod} took over`);
  await system.untilProcessed(100);

  // The ledger: when each process began and finished each message, as it noted itself.
  const verdict = await system.settle();
  assert.deepEqual(verdict.broken, []);

  // And the effect: each published order is in the journal.
  const journal = new OrderJournal(join(folder, 'orders.ndjson'));
  const written = new Set((await journal.orders()).map(({ id }) => id));
  const missing = verdict.publishedMessages.map((n) => orderOf(n).id).filter((id) => !written.has(id));
  assert.deepEqual(missing, []);
  console.log(`published ${verdict.published}, worked on twice after the kill ${verdict.duplicates.length}`);
});
