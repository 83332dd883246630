import type { PlannedFault } from '../schedule';
import type { TortureSystem } from '../torture-system';

/** What a fault has hit, for the record. */
export interface Hit {
  target: string;
  /** Killed or frozen. */
  pids?: number[];
}

/** A fault that has begun. `end` heals it, and must work however long it has lasted. */
export interface BegunFault extends Hit {
  end(): Promise<void>;
}

/** Where a fault finds what it needs. */
export interface FaultContext {
  system: TortureSystem;
  /** Pods that another fault of the round has hit. A fault adds its own. */
  busyPods: Set<string>;
  signal: AbortSignal;
}

export type FaultMaker = (plan: PlannedFault, context: FaultContext) => Promise<BegunFault>;
