import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { connect } from 'amqplib';
import { checkLedger, type Verdict } from '../../src/demo/ledger-checker';
import { Publisher } from '../../src/demo/publisher';
import { movedFile } from '../support/federated-handler';
import { FederatedBrokers } from '../support/federated-brokers';
import { TestSystem } from '../support/test-system';

jest.setTimeout(240_000);

const east = 'us-east';
const west = 'us-west';
const consumerPrefetch = 8;
/** So many messages may be on a link, and come twice when it breaks. */
const linkPrefetch = 50;
/** Sequence numbers say where a message was published. */
const firstInWest = 1_000_000;
const firstOfBursts = 2_000_000;

let brokers: FederatedBrokers;
let system: TestSystem;
const publishers: Publisher[] = [];
const burst: number[] = [];

beforeAll(async () => {
  brokers = await FederatedBrokers.start([east, west], { queues: /^lock-/, linkPrefetch });
  system = await TestSystem.create({
    configFor: () => ({ regions: brokers.regions }),
    handler: resolve(__dirname, '../../dist/test/support/federated-handler.js'),
    lockSettings: { healthLimitMs: 1_000 },
  });
});
afterAll(async () => {
  await Promise.all(publishers.map((publisher) => publisher.close()));
  await system?.stop();
  await brokers?.stop();
});

async function publishIn(region: string, firstSeq: number): Promise<Publisher> {
  const { url } = brokers.broker(region);
  const publisher = await Publisher.connect(url, system.lock, () => {}, firstSeq);
  publishers.push(publisher);
  publisher.start(100);
  return publisher;
}

/** More than can be worked on at once, all confirmed by this region's broker when it returns. */
async function burstIn(region: string, count: number): Promise<void> {
  const model = await connect(brokers.broker(region).url);
  model.on('error', () => {}); // The broker is about to be killed.
  const channel = await model.createConfirmChannel();
  const from = firstOfBursts + burst.length;
  const seqs = Array.from({ length: count }, (_, i) => from + i);
  for (const seq of seqs)
    channel.sendToQueue(system.lock, Buffer.from(JSON.stringify({ seq })), {
      persistent: true,
      messageId: String(seq),
    });
  await channel.waitForConfirms();
  burst.push(...seqs);
  void model.close().catch(() => {});
}

async function verdict(): Promise<Verdict> {
  return checkLedger({
    published: [...publishers.flatMap(({ published }) => [...published]), ...burst],
    processes: system.ledger(),
    receipts: await system.store.listReceipts(1_000),
    deaths: [],
    concurrency: consumerPrefetch,
  });
}

/** Those that no link can have repeated, because none has ever had them. */
function notByLink({ duplicates }: Verdict): number[] {
  const moved = new Set(readFileSync(movedFile(system.ledgerFolder), 'utf8').split('\n').map(Number));
  return duplicates.map(({ seq }) => seq).filter((seq) => !moved.has(seq));
}

/** Until everything that any broker has confirmed was worked on. */
async function settle(limitMs = 60_000): Promise<Verdict> {
  for (const publisher of publishers) publisher.pause();
  await Promise.all(publishers.map((publisher) => publisher.settle()));
  const giveUpAt = Date.now() + limitMs;
  let now = await verdict();
  while (now.lost.length > 0 && Date.now() < giveUpAt) {
    await new Promise((done) => setTimeout(done, 100));
    now = await verdict();
  }
  return now;
}

/** Messages published in one region, from now on, are worked on in the other, or in the same. */
async function untilWorkedOn(publishedIn: string, workedOnIn: string, count = 30): Promise<void> {
  const began = process.hrtime.bigint();
  const from = publishedIn === west ? firstInWest : 1;
  await system.until(`${count} messages of ${publishedIn} are worked on in ${workedOnIn}`, () => {
    const worked = system
      .ledger()
      .flatMap(({ records }) => records)
      .filter(
        ({ event, region, seq, t }) =>
          event === 'end' &&
          region === workedOnIn &&
          seq >= from &&
          seq < from + firstInWest - 1 &&
          t > began,
      );
    return worked.length >= count;
  });
}

test('messages follow the active region between two federated brokers, through a switch and the death of either', async () => {
  await system.bringUp();
  const inEast = await publishIn(east, 1);
  const inWest = await publishIn(west, firstInWest);
  await untilWorkedOn(east, east);
  await untilWorkedOn(west, east);

  // A planned switch turns the links around.
  await system.baton('switch', '--to', west, '--reason', 'test', '--lock', system.lock);
  await untilWorkedOn(east, west);
  await untilWorkedOn(west, west);
  const switched = await settle();
  // A link consumes, too, and is nobody who should not.
  expect(await system.baton('verify', '--lock', system.lock)).toContain(
    ': etcd, workflows, pods and brokers agree',
  );
  expect(switched).toMatchObject({ lost: [], overlaps: 0, tokensMonotonic: true });
  // Baton repeats nothing; a link between quorum queues does, whenever it rests and goes on (docs/topologies.md).
  expect(notByLink(switched)).toEqual([]);

  // The active region's broker dies with messages that are nowhere else.
  inEast.start(100);
  await burstIn(west, 3_000);
  await brokers.broker(west).kill();
  await system.untilHeldBy('us-east-a');
  await untilWorkedOn(east, east);
  const without = await verdict();
  expect(without.lost.filter((seq) => seq >= firstOfBursts).length).toBeGreaterThan(0);
  await brokers.broker(west).start();
  const returned = await settle();
  expect(returned).toMatchObject({ lost: [], overlaps: 0, tokensMonotonic: true });
  // In flight at the handlers when the broker died; bursts were published in the west.
  expect(notByLink(returned).length).toBeLessThanOrEqual(consumerPrefetch);
  expect((await system.view()).last?.receipt).toMatchObject({ cause: 'switch', to: { region: east } });

  // The other region's broker dies while its messages are on their way here: nobody has to hand over.
  const { holder } = await system.view();
  inEast.start(100);
  const before = system.processed();
  await burstIn(west, 3_000);
  await system.untilProcessed(before + 200);
  await brokers.broker(west).kill();
  await untilWorkedOn(east, east);
  expect((await system.view()).holder?.token).toBe(holder?.token);
  await brokers.broker(west).start();
  inWest.start(100);
  await untilWorkedOn(west, east);
  const end = await settle();
  expect(end).toMatchObject({ lost: [], overlaps: 0, tokensMonotonic: true });
  expect(notByLink(end)).toEqual(notByLink(returned));
  process.stderr.write(
    `federation: ${end.published} published, 0 lost; delivered again: ${switched.duplicates.length} until and by the switch, ` +
      `${returned.duplicates.length - switched.duplicates.length} by the active broker's death, ${end.duplicates.length - returned.duplicates.length} by the other's\n`,
  );
});
