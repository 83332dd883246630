import { resultOf, type Bench, type BenchContext, type BenchReport } from './bench';
import { DelayedServers } from './delayed-servers';
import { installedPeers } from './installed-peers';
import { findHandover, type Handover } from './ledger-analysis';
import { type MeasuredSystem, type Tally, tallyText } from './measured-system';
import { Progress } from './progress';
import { switchGoals } from './switch-goals';
import { nearAddresses, startGroup } from './system-group';
import { pause, waitUntil } from './wait';

interface Variant {
  name: string;
  /** To etcd and the broker, as the contenders see it. */
  roundTripMs: number;
  prefetch: number;
  /** `null`: all. */
  peers: readonly string[] | null;
}

const rate = 500;
const ttlMs = 5_000;
/** Switches before the measured ones, there and back: connections, compiled code. */
const warmUpsOf = (rounds: number): number => Math.min(rounds, 2);
/** Before each switch: a third of a second. */
const flowingMessages = 150;
const switchLimitMs = 15_000;
/** Afterwards the new one shows that it goes on. */
const afterMs = 250;
/** So long at most a switch is put off, so that it falls on any point of whatever is periodic. */
const jitterMs = 100;

const farPeers = ['single active consumer', 'etcd election'];
/** Far away a prefetch of 20 would let 125 to 500 messages a second through, and not the 500 that are published. */
export const switchVariants: readonly Variant[] = [
  { name: 'near', roundTripMs: 0, prefetch: 20, peers: null },
  { name: '40 ms', roundTripMs: 40, prefetch: 200, peers: farPeers },
  { name: '80 ms', roundTripMs: 80, prefetch: 200, peers: farPeers },
];

/** One system in one variant. */
interface Series {
  measured: MeasuredSystem;
  gaps: number[];
  /** Switches that did not happen in time. */
  failures: number;
}

/** Item 1: from the last message of the old contender to the first one of the new. */
export const switchBench: Bench = {
  name: 'switch',
  title: 'planned switch, from the last message of the old one to the first of the new',

  async run(context: BenchContext): Promise<BenchReport> {
    const rounds = context.rounds(30, 5);
    const { notes } = await installedPeers(context);
    const report: BenchReport = { results: [], goals: [], notes: [...notes] };
    const warmUps = warmUpsOf(rounds);
    const tallies: Tally[] = [];
    const progress = new Progress('switch', (rounds + warmUps) * switchVariants.length, context.say);
    for (const variant of switchVariants) {
      const all = await measureVariant(context, variant, rounds, progress, report.notes);
      for (const series of all) conclude(series, variant, report, tallies);
    }
    report.goals.push(...switchGoals(report.results, tallies, switchVariants));
    return report;
  },
};

async function measureVariant(
  context: BenchContext,
  variant: Variant,
  rounds: number,
  progress: Progress,
  notes: string[],
): Promise<Series[]> {
  const { name, roundTripMs, prefetch, peers } = variant;
  const far = roundTripMs > 0 ? await DelayedServers.open(context.stack, roundTripMs) : null;
  const running: MeasuredSystem[] = [];
  try {
    const group = {
      ...{ id: `switch-${roundTripMs}`, title: name, ttlMs, prefetch },
      addresses: far?.addresses ?? nearAddresses(context),
      wants: (peer: string) => peers === null || peers.includes(peer),
    };
    await startGroup(context, group, running, notes);
    const all = running.map((measured): Series => ({ measured, gaps: [], failures: 0 }));
    const warmUps = warmUpsOf(rounds);
    for (let round = -warmUps; round < rounds; round++) {
      progress.next(round < 0 ? `${name}, warming up` : name);
      for (let i = 0; i < all.length; i++) {
        // Nobody is always the first, or always after the same one.
        const series = all[(i + round + warmUps) % all.length]!;
        const handover = await switchOnce(series.measured, context.signal);
        if (!handover) series.failures += 1;
        else if (round >= 0) series.gaps.push(handover.gapMs);
      }
    }
    return all;
  } finally {
    await Promise.all(running.map((measured) => measured.stop()));
    await far?.close();
  }
}

/** One planned switch under load, from ready to drained. */
async function switchOnce(measured: MeasuredSystem, signal: AbortSignal): Promise<Handover | null> {
  const { system } = measured;
  await system.heal();
  await measured.flow(rate, flowingMessages, signal);
  await pause(Math.random() * jitterMs, signal);
  const from = measured.lastProcess();
  const askedNs = process.hrtime.bigint();
  const look = (): Handover | null => findHandover(measured.entries(), from, askedNs);
  await system.giveWay();
  await waitUntil(() => look() !== null, switchLimitMs, signal);
  await pause(afterMs, signal);
  await measured.drain(signal);
  // With everything that was written by then.
  return look();
}

function conclude(
  { measured, gaps, failures }: Series,
  { name: variant }: Variant,
  report: BenchReport,
  tallies: Tally[],
): void {
  const system = measured.name;
  report.results.push(resultOf({ bench: 'switch', variant, system, unit: 'ms' }, gaps));
  const tally = measured.tally();
  if (system === 'baton') tallies.push(tally);
  report.notes.push(tallyText(`switch, ${variant}, ${system}`, tally));
  const limit = `${switchLimitMs / 1000} s`;
  if (failures > 0)
    report.notes.push(
      `switch, ${variant}, ${system}: ${failures} switches did not happen within ${limit} and have no sample`,
    );
}
