import { checkLedger, type Verdict } from '../../src/demo/ledger-checker';
import { Publisher } from '../../src/demo/publisher';
import type { GroupReport } from '../../workflows/operations-contract';
import { eventually } from '../support/eventually';
import { TestSystem } from '../support/test-system';

jest.setTimeout(180_000);

const lockCount = 20;
const concurrency = 8;
/** Of each queue; the sum is what the other tests publish to one. */
const messagesPerSecond = 10;
/** So that a message's number tells its queue. */
const numbersPerLock = 1_000_000;

let system: TestSystem;
let publishers: Publisher[];

beforeAll(async () => {
  system = await TestSystem.create({ lockCount, lockSettings: { leaseTtlMs: 10_000, beatMs: 10_000 } });
  await system.bringUp();
  publishers = await Promise.all(
    system.locks.map((lock, i) =>
      Publisher.connect(system.servers.rabbitmq, lock, () => {}, i * numbersPerLock),
    ),
  );
  for (const publisher of publishers) publisher.start(messagesPerSecond);
});
afterAll(async () => {
  await Promise.all(publishers.map((publisher) => publisher.close()));
  await system.stop();
});

const views = () => Promise.all(system.stores.map((store) => store.read()));

const untilAllIn = (region: string): Promise<void> =>
  eventually(async () => {
    for (const { holder } of await views()) expect(holder?.region).toBe(region);
  }, 60_000);

const untilAllReadyIn = (region: string): Promise<void> =>
  eventually(async () => {
    for (const { candidates } of await views())
      expect(candidates).toContainEqual(expect.objectContaining({ region, state: 'ready', standing: true }));
  }, 60_000);

async function switchAll(to: string, ...more: string[]): Promise<GroupReport> {
  await untilAllReadyIn(to);
  const group = await eventually(async () => {
    const { stdout } = await system.tryBaton(
      'group',
      'switch',
      '--to',
      to,
      '--reason',
      'test',
      '--json',
      ...more,
    );
    const { group: report } = JSON.parse(stdout) as { group: GroupReport };
    // A machine under load may be slow to answer twenty preflights: then nothing was touched, and one asks again.
    expect(report.outcome).not.toBe('refused');
    return report;
  }, 60_000);
  expect(group).toMatchObject({ outcome: 'done', back: [] });
  expect(group.switches.map(({ lock }) => lock)).toEqual(system.locks);
  await untilAllIn(to);
  return group;
}

/** Each queue by itself: its messages, by their numbers, and its lock's receipts. */
function verdicts(): Promise<Verdict[]> {
  const ledger = system.ledger();
  return Promise.all(
    system.stores.map(async (store, i) =>
      checkLedger({
        published: publishers[i]?.published ?? [],
        processes: ledger.map(({ pid, records }) => ({
          pid,
          records: records.filter(({ seq }) => Math.floor(seq / numbersPerLock) === i),
        })),
        receipts: await store.listReceipts(1_000),
        deaths: [],
        concurrency,
      }),
    ),
  );
}

test('twenty locks under load go to the other region at once, and back in order: every message once, never two at a time', async () => {
  const there = await switchAll('us-west', '--at-once');
  const back = await switchAll('us-east');
  const ends = back.switches.map(({ receipt }) => receipt?.at ?? '');
  expect(ends).toEqual(ends.toSorted());
  expect(there.switches.every(({ receipt }) => receipt?.cause === 'switch')).toBe(true);

  for (const publisher of publishers) publisher.pause();
  await Promise.all(publishers.map((publisher) => publisher.settle()));
  await eventually(async () => {
    for (const { lost } of await verdicts()) expect(lost).toEqual([]);
  });
  for (const verdict of await verdicts()) {
    expect(verdict).toMatchObject({ lost: [], duplicates: [], overlaps: 0, tokensMonotonic: true });
    // Load all along: each of the three tenures has worked on messages.
    expect(verdict.changes.map(({ cause, firstStartNs }) => [cause, firstStartNs !== null])).toEqual([
      ['first', true],
      ['switch', true],
      ['switch', true],
    ]);
  }
});
