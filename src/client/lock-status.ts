import type { Candidate, LockTruth, RegionPhase, RegionStatus, Tenure } from '../../workflows/contract';
import type { LockView } from '../pod/lock-store';
import { lockTruth } from '../pod/lock-truth';

/** What etcd said about one lock, or why it said nothing. */
export type LockReading = { view: LockView; ttlLeftMs: number | null } | { away: string };
/** What a region's workflow said, or why it said nothing. */
export type WorkflowReading = RegionStatus | 'not-running' | { away: string };

export interface RegionRow {
  region: string;
  /** etcd's word where it answers; `unknown` when neither etcd nor the workflow does. */
  state: RegionPhase | 'cordoned' | 'unknown';
  workflow: 'running' | 'not-running' | 'away';
  /** `null` while etcd is away. */
  candidates: { ready: number; total: number } | null;
  /** The workflow's last decision, or why there is none. */
  why: string;
}

export interface LockStatus extends Omit<LockTruth, 'candidates'> {
  lock: string;
  ttlLeftMs: number | null;
  candidates: Candidate[] | null;
  regions: RegionRow[];
  /** Set when etcd did not answer: holder and last change are then the workflows' word. */
  etcdAway: string | null;
}

/** Joins etcd's and the workflows' words on one lock. Where they differ, etcd is right. */
export function lockStatus(
  lock: string,
  reading: LockReading,
  workflows: { region: string; reading: WorkflowReading }[],
  { order, never }: NonNullable<LockTruth['preference']> = { order: [], never: [] },
): LockStatus {
  const view = 'view' in reading ? reading.view : null;
  const running = workflows.map(({ reading: said }) => said).filter(isStatus);
  return {
    lock,
    ...(view
      ? lockTruth(lock, view, { order, never })
      : { ...workflowsWord(running), preference: { order, never } }),
    ttlLeftMs: 'view' in reading ? reading.ttlLeftMs : null,
    regions: workflows.map(({ region, reading: said }) => regionRow(region, view, said)),
    etcdAway: 'away' in reading ? reading.away : null,
  };
}

const workflowsWord = (running: RegionStatus[]): Omit<LockTruth, 'candidates'> & { candidates: null } => ({
  holder: workflowsHolder(running),
  candidates: null,
  paused: null,
  flapping: null,
  cordons: [],
  blocked: null,
  successor: null,
  last: latestReceipt(running),
});

function regionRow(region: string, view: LockView | null, said: WorkflowReading): RegionRow {
  const own = view?.candidates.filter((candidate) => candidate.region === region);
  return {
    region,
    state: regionState(region, view, isStatus(said) ? said.phase : null),
    workflow: said === 'not-running' ? 'not-running' : isStatus(said) ? 'running' : 'away',
    candidates: own
      ? { ready: own.filter(({ state }) => state === 'ready').length, total: own.length }
      : null,
    why: isStatus(said) ? said.why : said === 'not-running' ? 'its workflow is not running' : '',
  };
}

/** A workflow that still believes to be active after its pod died is corrected by etcd, and the other way round. */
function regionState(region: string, view: LockView | null, phase: RegionPhase | null): RegionRow['state'] {
  if (view === null) return phase ?? 'unknown';
  if (view.holder?.region === region) return phase === null || phase === 'standby' ? 'active' : phase;
  if (view.cordons.some((cordon) => cordon.region === region)) return 'cordoned';
  if (view.paused !== null) return 'paused';
  return 'standby';
}

const isStatus = (said: WorkflowReading): said is RegionStatus =>
  typeof said === 'object' && !('away' in said);

/** Of several that believe to hold it, the newest token. */
function workflowsHolder(statuses: RegionStatus[]): Tenure | null {
  const tenures = statuses.map(({ tenure }) => tenure).filter((tenure) => tenure !== null);
  return tenures.reduce<Tenure | null>(
    (best, tenure) => (best && best.token > tenure.token ? best : tenure),
    null,
  );
}

function latestReceipt(statuses: RegionStatus[]): LockStatus['last'] {
  const receipts = statuses.flatMap((status) => status.receipts).toSorted((a, b) => a.at.localeCompare(b.at));
  return receipts.at(-1) ?? null;
}
