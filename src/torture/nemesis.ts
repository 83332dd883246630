import { setTimeout as sleep } from 'node:timers/promises';
import { type FaultName } from './fault-catalogue';
import type { BegunFault, FaultContext } from './faults/fault';
import { faultMakers } from './faults/makers';
import { now } from './run-recorder';
import { faultText, type PlannedFault, type PlannedSwitch, type Round } from './schedule';
import type { TortureSystem } from './torture-system';

/** Twice the TTL and 4 s bound a takeover when etcd's leader goes too; the rest is for starts on a busy machine. */
const recoveryLimitMs = 90_000;
/** Messages that were finished so recently show that the system works. */
const flowingMs = 2_000;
const healAttempts = 3;

/** Something that the rig itself found or could not do. */
export interface NemesisFinding {
  kind: 'liveness' | 'rig';
  text: string;
}

/** Carries a schedule out: round by round, everything of a round at its time, and the next when the system has recovered. */
export class Nemesis {
  readonly begun: Partial<Record<FaultName, number>> = {};
  readonly findings: NemesisFinding[] = [];
  switches = 0;
  switchesDone = 0;

  constructor(
    private readonly system: TortureSystem,
    private readonly say: (line: string) => void,
    private readonly signal: AbortSignal,
  ) {}

  /** Starts no round after `untilMs` on `performance.now()`'s clock, nor after one from which the system has not recovered. */
  async run(rounds: readonly Round[], untilMs: number): Promise<void> {
    for (const [index, round] of rounds.entries()) {
      if (performance.now() > untilMs) {
        this.say(`the time is up after ${index} of ${rounds.length} rounds`);
        return;
      }
      const progress = `${index + 1}/${rounds.length}`;
      this.say(
        `${progress} ${round.faults.map(faultText).join(' + ')}${round.switches.length > 0 ? ' + switch' : ''}`,
      );
      await this.carryOut(round);
      if (!(await this.recovers(round, progress))) return;
      await sleep(round.restMs, undefined, { signal: this.signal });
    }
  }

  private async carryOut(round: Round): Promise<void> {
    const context: FaultContext = { system: this.system, busyPods: new Set(), signal: this.signal };
    await Promise.all([
      ...round.faults.map((fault) => this.inflict(fault, context)),
      ...round.switches.map((each) => this.switchOver(each)),
    ]);
    this.signal.throwIfAborted();
  }

  private async inflict(fault: PlannedFault, context: FaultContext): Promise<void> {
    const { kind, id, afterMs, lastsMs } = fault;
    const { recorder } = this.system;
    await this.pause(afterMs);
    let begun: BegunFault;
    const beganAt = now();
    try {
      begun = await faultMakers[kind](fault, context);
    } catch (error) {
      this.fail(`${faultText(fault)} could not begin: ${(error as Error).message}`);
      return;
    }
    this.begun[kind] = (this.begun[kind] ?? 0) + 1;
    const { target, pids = [] } = begun;
    const record = { fault: kind, id, target, cause: faultText(fault), pids };
    recorder.fault({ ...record, phase: 'begin', at: beganAt });
    await this.pause(lastsMs);
    await this.heal(fault, begun);
    recorder.fault({ ...record, phase: 'end', at: now() });
  }

  /** Also when the run was interrupted: a frozen process would outlive it. */
  private async heal(fault: PlannedFault, begun: BegunFault): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await begun.end();
      } catch (error) {
        if (attempt < healAttempts && !this.signal.aborted) continue;
        this.fail(`${faultText(fault)} could not be healed: ${(error as Error).message}`);
        return;
      }
    }
  }

  private async switchOver({ afterMs }: PlannedSwitch): Promise<void> {
    await this.pause(afterMs);
    if (this.signal.aborted) return;
    this.switches++;
    const { outcome, why, to } = await this.system.switchTo(this.system.otherRegion());
    if (outcome === 'done') this.switchesDone++;
    this.say(`    switch to ${to}: ${outcome}${outcome === 'done' ? '' : ` (${why.split('\n')[0]})`}`);
  }

  /** Everything is healed: within the limit somebody holds the lock and works. */
  private async recovers({ faults }: Round, progress: string): Promise<boolean> {
    const { system } = this;
    const began = performance.now();
    const works = await system.comesTrue(recoveryLimitMs, this.signal, () => {
      system.ledger.read();
      const flows = system.ledger.lastNewsAtMs > Math.max(began, performance.now() - flowingMs);
      return flows && system.observer.holderPod !== null;
    });
    const tookMs = performance.now() - began;
    const { confirmed } = system.load;
    const state = `${system.ledger.finished.size} of ${confirmed.size} messages`;
    if (works) {
      this.say(`    ${progress} works ${(tookMs / 1000).toFixed(1)} s after the end; ${state}`);
      return true;
    }
    const what = faults.map(faultText).join(' + ');
    this.findings.push({
      kind: 'liveness',
      text: `${recoveryLimitMs / 1000} s after ${what} was healed nothing is worked on; the holder is ${system.observer.holderPod}`,
    });
    this.say(`    VIOLATION ${this.findings.at(-1)!.text}`);
    return false;
  }

  private fail(text: string): void {
    this.findings.push({ kind: 'rig', text });
    this.say(`    ${text}`);
  }

  /** Ends early, without an error, when the run is interrupted: what has begun must be healed. */
  private async pause(ms: number): Promise<void> {
    await sleep(ms, undefined, { signal: this.signal }).catch(() => undefined);
  }
}
