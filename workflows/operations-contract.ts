/** What is built from planned switches: scheduled ones, drills, groups. Plain data; times are ISO 8601 or ms. */
import { defineQuery, defineSignal, type Sinks } from '@temporalio/workflow';
import type { Party, Receipt } from './contract';

export interface SwitchOrder {
  lock: string;
  to: string;
  reason: string;
  by: string;
}

/** What became of one lock's switch. */
export interface SwitchReport {
  lock: string;
  switchId: string;
  to: string;
  outcome: 'done' | 'already-active' | 'not-done';
  /** For one that was not done: the failed checks, or how it was rolled back. */
  why: string;
  receipt: Receipt | null;
}

interface DrillOrder {
  /** What each gap, or the recovery after the kill, may take, in ms; `null` for no objective. */
  objectiveMs: number | null;
  /** In whose pods it runs; put there by whoever starts it. */
  region?: string;
  /** How often the drill has changed to the pods of another region. */
  moves?: number;
}

/** There and back. */
export interface PlannedDrillInput extends SwitchOrder, DrillOrder {
  kind: 'planned';
  /** ms from the end of the first switch to the beginning of the one back. */
  returnAfterMs: number;
}

/** The holder's pod is killed. */
export interface CrashDrillInput extends Omit<SwitchOrder, 'to'>, DrillOrder {
  kind: 'crash';
}

export type DrillInput = PlannedDrillInput | CrashDrillInput;

interface DrillResult {
  lock: string;
  /** `ended`: somebody else changed the holder, or it failed by itself, and the drill left it alone. */
  outcome: 'passed' | 'failed' | 'ended';
  why: string;
  objectiveMs: number | null;
}

export interface PlannedDrillReport extends DrillResult {
  kind: 'planned';
  from: string;
  to: string;
  /** `null`: not asked for, here and below. */
  there: SwitchReport | null;
  back: SwitchReport | null;
}

export interface CrashDrillReport extends DrillResult {
  kind: 'crash';
  /** Who was to be killed, `null` where nobody held the lock. */
  holder: Party | null;
  /** When it was told to, ISO 8601, by Temporal's clock; `null`: nothing was killed. */
  killedAt: string | null;
  /** Of whoever took over. */
  receipt: Receipt | null;
  /** ms from `killedAt`; it includes the difference between Temporal's clock and the new holder's. */
  recoveryMs: number | null;
  /** An empty queue has no first message: then the takeover counts. */
  measuredTo: 'first message' | 'takeover' | null;
}

export type DrillReport = PlannedDrillReport | CrashDrillReport;

/** What a drill tells the pod in which it ends, for its metrics. Leaves no trace in the history. */
export interface DrillSinks extends Sinks {
  drill: { ended(report: DrillReport): void };
}

export interface GroupInput {
  locks: string[];
  to: string;
  reason: string;
  by: string;
  /** `in-order`: one after the other, as listed. */
  order: 'in-order' | 'at-once';
}

export interface GroupReport {
  to: string;
  /** `refused`: a preflight failed, nothing was touched. `rolled-back`: those that had moved are back. */
  outcome: 'done' | 'refused' | 'rolled-back' | 'rollback-failed';
  why: string;
  /** In the order in which they were tried. */
  switches: SwitchReport[];
  /** Of a rollback, in its order. */
  back: SwitchReport[];
}

export type GroupControl = { kind: 'pause' | 'resume' | 'abort'; reason: string; by: string };

export interface GroupStatus {
  phase: 'preflight' | 'switching' | 'paused' | 'rolling-back' | 'ended';
  why: string;
  moved: string[];
  left: string[];
}

export const groupControlSignal = defineSignal<[GroupControl]>('control');
export const groupStatusQuery = defineQuery<GroupStatus>('status');

export interface CrashTarget {
  holder: Party | null;
  standbys: { region: string; pod: string }[];
}

/** Run by any pod of the region on whose queue the workflow runs: for a switch, the one that is to become active. */
export interface OperatorActivities {
  /** Asked again under its switch id it answers the same. Never fails for a switch that was not done. */
  switchLock(order: SwitchOrder & { switchId: string }): Promise<SwitchReport>;
  /** `null` when the region could take over now, or holds the lock; else every check that failed. */
  whyNotSwitch(question: { lock: string; to: string }): Promise<string | null>;
  /** The active region, `null` for none. */
  activeRegion(question: { lock: string }): Promise<string | null>;
  /** As soon as another region is active, and after `waitMs` in any case: the active region, `null` for none. */
  awaitElsewhere(question: { lock: string; region: string; waitMs: number }): Promise<string | null>;
  /** The holder, and the other pods that could take over at once. */
  crashTarget(question: { lock: string }): Promise<CrashTarget>;
  /**
   * The receipt of whoever came after the tenure `token`, with its first message if one comes within seconds. `null`:
   * nobody within one TTL and a minute from `killedAt`.
   */
  awaitRecovery(question: { lock: string; token: number; killedAt: string }): Promise<Receipt | null>;
}
