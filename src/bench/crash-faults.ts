import { BatonPod } from './baton-pod';
import type { Contender } from './contender';
import { processMark } from './ledger';
import { findHandover, type Handover } from './ledger-analysis';
import type { MeasuredSystem } from './measured-system';
import { pause, waitUntil } from './wait';
import { WarmSpare } from './warm-spare';

/** What one fault did to one system. */
export interface FaultOutcome {
  gapMs: number;
  /** Messages that the former one started after its successor's first. */
  stale: number;
  /** The gap is the limit that it was waited for. */
  capped: boolean;
}

export const capMs = (ttlMs: number): number => 2 * ttlMs + 2_000;

const faultRate = 50;
/** Dense enough for a gap of a few milliseconds to show. */
const listenerRate = 500;
const listenerLimitMs = 10_000;
/** After the takeover or the end of the TTL, whichever is later, the frozen one is thawed. */
const thawAfterMs = 500;
/** For so long a thawed one is watched. */
const thawedMs = 2_000;

/** A system in the moment of its fault. */
export interface Struck {
  measured: MeasuredSystem;
  ttlMs: number;
  from: string;
  victim: Contender;
  atNs: bigint;
  atMs: number;
}

/** Messages flow; nobody has been struck yet. */
export function flow(measured: MeasuredSystem, signal: AbortSignal): Promise<void> {
  return measured.flow(faultRate, 15, signal);
}

/** @throws Error when nobody is active: the fault would strike nobody. */
export async function strike(
  measured: MeasuredSystem,
  ttlMs: number,
  fault: (victim: Contender) => Promise<void> | void,
): Promise<Struck> {
  const victim = measured.system.active();
  if (!victim) throw new Error(`nobody of ${measured.name} (TTL ${ttlMs / 1000} s) is active`);
  const from = measured.lastProcess();
  const atNs = process.hrtime.bigint();
  const atMs = performance.now();
  await fault(victim);
  return { measured, ttlMs, from, victim, atNs, atMs };
}

const look = ({ measured, from, atNs }: Struck): Handover | null =>
  findHandover(measured.entries(), from, atNs);

/** Until somebody else works, or the limit has passed. */
export async function awaitSuccessor(struck: Struck, signal: AbortSignal): Promise<FaultOutcome> {
  const limit = capMs(struck.ttlMs);
  await waitUntil(() => look(struck) !== null, limit - (performance.now() - struck.atMs), signal);
  return outcomeOf(struck);
}

function outcomeOf(struck: Struck): FaultOutcome {
  const handover = look(struck);
  if (!handover || handover.gapMs > capMs(struck.ttlMs))
    return { gapMs: capMs(struck.ttlMs), stale: handover?.stale ?? 0, capped: true };
  return { gapMs: handover.gapMs, stale: handover.stale, capped: false };
}

/** The victim is frozen already: waits for its successor, thaws it, and watches what it still does. */
export async function thawAndWatch(struck: Struck, signal: AbortSignal): Promise<FaultOutcome> {
  const { gapMs, capped } = await awaitSuccessor(struck, signal);
  const pastTtlMs = struck.ttlMs - (performance.now() - struck.atMs);
  await pause(Math.max(0, pastTtlMs) + thawAfterMs, signal);
  struck.victim.thaw();
  await pause(thawedMs, signal);
  return { gapMs, capped, stale: outcomeOf(struck).stale };
}

/** Kills the process that works, and nothing else of its pod. */
export async function killListener(measured: MeasuredSystem, signal: AbortSignal): Promise<FaultOutcome> {
  const { system } = measured;
  const victim = system.active();
  if (!victim && !(system instanceof WarmSpare)) throw new Error(`no pod of ${measured.name} is active`);
  await measured.flow(listenerRate, 150, signal);
  await pause(Math.random() * 20, signal);
  const from = measured.lastProcess();
  const atNs = process.hrtime.bigint();
  const pid = Number(from.split(processMark)[1]);
  if (system instanceof WarmSpare) system.kill(pid);
  else if (victim instanceof BatonPod) victim.killListener(pid);
  const seen = (): Handover | null => findHandover(measured.entries(), from, atNs);
  await waitUntil(() => seen() !== null, listenerLimitMs, signal);
  const handover = seen();
  measured.load.pause();
  return handover
    ? { gapMs: handover.gapMs, stale: 0, capped: false }
    : { gapMs: listenerLimitMs, stale: 0, capped: true };
}
