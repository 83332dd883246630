/** What is built from planned switches: scheduled ones, drills, groups. Plain data; times are ISO 8601 or ms. */
import { defineQuery, defineSignal } from '@temporalio/workflow';
import type { Receipt } from './contract';

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

export interface DrillInput extends SwitchOrder {
  /** ms from the end of the first switch to the beginning of the one back. */
  returnAfterMs: number;
  /** What a recovery may take, in ms; `null` where none is configured. */
  objectiveMs: number | null;
}

export interface DrillReport {
  lock: string;
  from: string;
  to: string;
  /** `ended`: somebody else changed the holder meanwhile, and the drill left it alone. */
  outcome: 'passed' | 'failed' | 'ended';
  why: string;
  there: SwitchReport;
  back: SwitchReport | null;
  objectiveMs: number | null;
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

/** Run by any pod of the region that is to become active. */
export interface OperatorActivities {
  /** Asked again under its switch id it answers the same. Never fails for a switch that was not done. */
  switchLock(order: SwitchOrder & { switchId: string }): Promise<SwitchReport>;
  /** `null` when the region could take over now, or holds the lock; else every check that failed. */
  whyNotSwitch(question: { lock: string; to: string }): Promise<string | null>;
  /** The active region, `null` for none. */
  activeRegion(question: { lock: string }): Promise<string | null>;
}
