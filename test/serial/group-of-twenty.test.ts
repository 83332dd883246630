import type { GroupReport } from '../../workflows/operations-contract';
import { eventually } from '../support/eventually';
import { LockLoad } from '../support/lock-load';
import { TestSystem } from '../support/test-system';

jest.setTimeout(180_000);

const lockCount = 20;
/** Of each queue; the sum is what the other tests publish to one. */
const messagesPerSecond = 10;

let system: TestSystem;
let load: LockLoad;

beforeAll(async () => {
  system = await TestSystem.create({ lockCount, lockSettings: { leaseTtlMs: 10_000, beatMs: 10_000 } });
  await system.bringUp();
  load = await LockLoad.start(system, messagesPerSecond);
});
afterAll(async () => {
  await load.stop();
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

test('twenty locks under load go to the other region at once, and back in order: every message once, never two at a time', async () => {
  const there = await switchAll('us-west', '--at-once');
  const back = await switchAll('us-east');
  const ends = back.switches.map(({ receipt }) => receipt?.at ?? '');
  expect(ends).toEqual(ends.toSorted());
  expect(there.switches.every(({ receipt }) => receipt?.cause === 'switch')).toBe(true);

  for (const verdict of await load.settle()) {
    expect(verdict).toMatchObject({ lost: [], duplicates: [], overlaps: 0, tokensMonotonic: true });
    // Load all along: each of the three tenures has worked on messages.
    expect(verdict.changes.map(({ cause, firstStartNs }) => [cause, firstStartNs !== null])).toEqual([
      ['first', true],
      ['switch', true],
      ['switch', true],
    ]);
  }
});
