import { BatonSystem } from './baton-system';
import type { Bench, BenchContext, BenchReport } from './bench';
import {
  awaitSuccessor,
  type FaultOutcome,
  flow,
  killListener,
  strike,
  type Struck,
  thawAndWatch,
} from './crash-faults';
import { crashGoals } from './crash-goals';
import { CrashSamples, gapVariant, noTtl } from './crash-samples';
import { installedPeers } from './installed-peers';
import { MeasuredSystem, tallyText } from './measured-system';
import { Progress } from './progress';
import { nearAddresses, placeOf, startGroup } from './system-group';
import { pause } from './wait';
import { WarmSpare, warmSpareName } from './warm-spare';

const prefetch = 20;
/**
 * Nobody extends more rarely than each half TTL, so a fault falls on any point of the keepalives. Without it the time
 * since the last takeover, and with it the age of the lease, would be much the same in all rounds.
 */
const anyPhaseMs = (ttlMs: number): number => (Math.random() * ttlMs) / 2;
/** A new holder's spare is up by then. */
const spareMs = 1_500;
/** A peer that has not recovered from its first blocked handlers would only keep the processor busy. */
const hopelessRounds = 2;
/** Peers' blocked handlers: no goal looks at them, and each costs twice the TTL. */
const peerBlockRounds = { full: 10, quick: 1 };

interface Member {
  measured: MeasuredSystem;
  ttlMs: number;
  part: 'crash' | 'listener';
}

const tallyOf = ({ measured, ttlMs, part }: Member): string =>
  tallyText(`${gapVariant(part, ttlMs)}, ${measured.name}`, measured.tally());

const noPeer = (): boolean => false;

/** Item 2: pods, listeners and handlers that die, hang or freeze, at three TTLs. Where peers are struck, all systems are in one round. */
export const crashBench: Bench = {
  name: 'crash',
  title: 'crashes, from the last message before to the first after',

  async run(context: BenchContext): Promise<BenchReport> {
    const rounds = context.rounds(30, 3);
    const ttls = context.quick ? [3_000, 5_000] : [3_000, 5_000, 10_000];
    const { notes } = await installedPeers(context);
    const report: BenchReport = { results: [], goals: [], notes: [...notes] };
    if (context.quick) report.notes.push('crash: --quick leaves the TTL of 10 s out');
    report.notes.push(
      'crash, event loop blocked: peers are measured less often, as each round costs up to twice the TTL; the stall limit of Baton is a third of the TTL',
      `crash, listener killed: "${warmSpareName}" is a supervisor with two consumers and nothing else; what it takes, the kernel and the broker take; each Baton is struck with that beside it and no other Baton`,
    );
    const run = new CrashRun(context, new Progress('crash', rounds * (3 + ttls.length), context.say));
    try {
      await run.all(rounds, ttls, report.notes).catch((error: unknown) => {
        context.signal.throwIfAborted();
        report.failure = `crash ended early: ${(error as Error).message}`;
      });
      report.results.push(...run.samples.results());
      report.notes.push(...run.samples.notes(), ...run.tallies());
    } finally {
      await run.stop();
    }
    report.goals.push(...crashGoals(report.results, ttls));
    return report;
  },
};

class CrashRun {
  readonly samples = new CrashSamples();
  private members: Member[] = [];
  /** Of members that have been stopped. */
  private readonly formerTallies: string[] = [];

  constructor(
    private readonly context: BenchContext,
    private readonly progress: Progress,
  ) {}

  async all(rounds: number, ttls: number[], notes: string[]): Promise<void> {
    for (const ttlMs of ttls) await this.start('crash', ttlMs, notes, () => true);
    for (let i = 0; i < rounds; i++) await this.killRound();
    for (let i = 0; i < rounds; i++) await this.freezeRound();
    await this.renewBaton();
    for (let i = 0; i < rounds; i++) await this.blockRound(i);
    await this.stop();
    for (const ttlMs of ttls) {
      await this.start('listener', ttlMs, notes, noPeer);
      await this.startReference(ttlMs);
      for (let i = 0; i < rounds; i++) await this.listenerRound();
      await this.stop();
    }
  }

  private async start(
    part: Member['part'],
    ttlMs: number,
    notes: string[],
    wants: (peer: string) => boolean,
  ): Promise<void> {
    const running: MeasuredSystem[] = [];
    const title = `TTL ${ttlMs / 1000} s`;
    const addresses = nearAddresses(this.context);
    const group = { id: `${part}-${ttlMs / 1000}`, title, addresses, ttlMs, prefetch, wants };
    try {
      await startGroup(this.context, group, running, notes);
    } finally {
      this.members.push(...running.map((measured) => ({ measured, ttlMs, part })));
    }
  }

  /** What a killed listener costs at the least. */
  private async startReference(besideTtlMs: number): Promise<void> {
    const { context } = this;
    const part = 'listener';
    const id = `${part}-${besideTtlMs / 1000}`;
    const group = { id, addresses: nearAddresses(context), ttlMs: noTtl, prefetch };
    const system = new WarmSpare(placeOf(context, group, warmSpareName), context.stack);
    this.members.push({ measured: await MeasuredSystem.start(system, context.stack), ttlMs: noTtl, part });
  }

  private async killRound(): Promise<void> {
    this.progress.next('killed');
    const { signal } = this.context;
    await this.round(
      'pod killed',
      this.members,
      (victim) => victim.kill(),
      (struck) => awaitSuccessor(struck, signal),
    );
  }

  /** One Baton and the reference, one after the other: milliseconds count here, and other pods would be measured with them. */
  private async listenerRound(): Promise<void> {
    this.progress.next('listener killed');
    const { signal } = this.context;
    await this.renewBaton();
    for (const { measured, ttlMs } of this.members) {
      // Also for the new spare of the one before: its start takes the processor.
      if (measured.system instanceof WarmSpare) await measured.system.heal();
      await pause(spareMs, signal);
      this.samples.add('listener killed', ttlMs, measured.name, await killListener(measured, signal));
      await measured.drain(signal);
    }
  }

  private async freezeRound(): Promise<void> {
    this.progress.next('frozen and thawed');
    await this.round(
      'frozen and thawed',
      this.members,
      (victim) => victim.freeze(),
      (struck) => thawAndWatch(struck, this.context.signal),
    );
  }

  /** Baton first and by itself: others' endless loops would take the processors from it. */
  private async blockRound(round: number): Promise<void> {
    this.progress.next('event loop blocked');
    const { signal, quick } = this.context;
    const peers = this.members.filter(
      ({ measured, ttlMs }) =>
        !this.baton.some((each) => each.measured === measured) &&
        round < (quick ? peerBlockRounds.quick : peerBlockRounds.full) &&
        !this.samples.isHopeless('event loop blocked', ttlMs, measured.name, hopelessRounds),
    );
    // A peer at a time, for the same reason.
    const names = [...new Set(peers.map(({ measured }) => measured.name))];
    const turns = [
      this.baton,
      ...names.map((name) => peers.filter(({ measured }) => measured.name === name)),
    ];
    for (const turn of turns)
      await this.round(
        'event loop blocked',
        turn,
        (_, measured) => measured.system.block(),
        (struck) => awaitSuccessor(struck, signal),
      );
  }

  /** Before its listeners are lost again: a second loss within a minute gives the lock up. */
  private async renewBaton(): Promise<void> {
    await Promise.all(
      this.baton.map(async ({ measured: { system } }) => {
        const active = system instanceof BatonSystem ? system.active() : null;
        if (active && system instanceof BatonSystem) await system.renew(active);
      }),
    );
  }

  tallies(): string[] {
    return [...this.formerTallies, ...this.members.map(tallyOf)];
  }

  async stop(): Promise<void> {
    const { members } = this;
    this.members = [];
    try {
      this.formerTallies.push(...members.map(tallyOf));
    } finally {
      await Promise.all(members.map(({ measured }) => measured.stop()));
    }
  }

  private get baton(): Member[] {
    return this.members.filter(({ measured }) => measured.system instanceof BatonSystem);
  }

  /** Ready, flowing, each struck at a moment of its own, then drained and healed. */
  private async round(
    fault: string,
    members: Member[],
    act: (victim: Struck['victim'], measured: MeasuredSystem) => Promise<void> | void,
    watch: (struck: Struck) => Promise<FaultOutcome>,
  ): Promise<void> {
    const { signal } = this.context;
    await Promise.all(members.map(({ measured }) => measured.system.heal()));
    await Promise.all(members.map(({ measured }) => flow(measured, signal)));
    await Promise.all(
      members.map(async ({ measured, ttlMs }) => {
        await pause(anyPhaseMs(ttlMs), signal);
        const struck = await strike(measured, ttlMs, (victim) => act(victim, measured));
        this.samples.add(fault, ttlMs, measured.name, await watch(struck));
      }),
    );
    for (const { measured } of members) measured.load.pause();
    await Promise.all(members.map(({ measured }) => measured.system.heal()));
    await Promise.all(members.map(({ measured }) => measured.drain(signal)));
  }
}
