import { type BenchResult, resultOf } from './bench';
import { peerNames } from './bench-options';
import { capMs, type FaultOutcome } from './crash-faults';

interface Series {
  fault: string;
  ttlMs: number;
  system: string;
  outcomes: FaultOutcome[];
}

/** Of what knows no TTL. */
export const noTtl = 0;
export const gapVariant = (fault: string, ttlMs: number): string =>
  ttlMs === noTtl ? fault : `${fault}, TTL ${ttlMs / 1000} s`;
export const staleVariant = (ttlMs: number): string =>
  `stale messages of a frozen one, TTL ${ttlMs / 1000} s`;

/** Collects what the faults did, by fault, TTL and system. */
export class CrashSamples {
  private readonly series = new Map<string, Series>();

  add(fault: string, ttlMs: number, system: string, outcome: FaultOutcome): void {
    const key = `${fault}\0${ttlMs}\0${system}`;
    const found = this.series.get(key);
    if (found) found.outcomes.push(outcome);
    else this.series.set(key, { fault, ttlMs, system, outcomes: [outcome] });
  }

  /** It was struck so often, and never recovered within the limit. */
  isHopeless(fault: string, ttlMs: number, system: string, times: number): boolean {
    const outcomes = this.series.get(`${fault}\0${ttlMs}\0${system}`)?.outcomes ?? [];
    return outcomes.length >= times && outcomes.every(({ capped }) => capped);
  }

  /** Gaps first, then what the frozen ones still did. */
  results(): BenchResult[] {
    const all = this.inOrder();
    const gaps = all.map(({ fault, ttlMs, system, outcomes }) =>
      resultOf(
        { bench: 'crash', variant: gapVariant(fault, ttlMs), system, unit: 'ms' },
        outcomes.map(({ gapMs }) => gapMs),
      ),
    );
    const stale = all
      .filter(({ fault }) => fault === 'frozen and thawed')
      .map(({ ttlMs, system, outcomes }) =>
        resultOf(
          { bench: 'crash', variant: staleVariant(ttlMs), system, unit: 'messages' },
          outcomes.map((each) => each.stale),
        ),
      );
    return [...gaps, ...stale];
  }

  notes(): string[] {
    return this.inOrder().flatMap(({ fault, ttlMs, system, outcomes }) => {
      const capped = outcomes.filter((each) => each.capped).length;
      if (capped === 0) return [];
      const limit = `${capMs(ttlMs) / 1000} s`;
      return `crash, ${gapVariant(fault, ttlMs)}, ${system}: in ${capped} of ${outcomes.length} rounds not recovered within ${limit}, which stands as the gap`;
    });
  }

  /** By fault and TTL, so that systems stand side by side. */
  private inOrder(): Series[] {
    const faults = ['listener killed', 'pod killed', 'frozen and thawed', 'event loop blocked'];
    const systems: string[] = ['baton', ...peerNames];
    return [...this.series.values()].toSorted(
      (a, b) =>
        faults.indexOf(a.fault) - faults.indexOf(b.fault) ||
        a.ttlMs - b.ttlMs ||
        systems.indexOf(a.system) - systems.indexOf(b.system),
    );
  }
}
