import type { Candidate, LockTruth, Tenure } from './contract';

export interface PreflightRules {
  lock: string;
  tenure: Tenure;
  /** The region asked for; any other when `null`. */
  to: string | null;
  minSwitchIntervalMs: number;
  /** ms since 1970. */
  now: number;
}

/** Checks that etcd's word alone decides: a sentence with its values for each that failed. */
export function failedChecks(truth: LockTruth, rules: PreflightRules): string[] {
  const { lock, tenure, minSwitchIntervalMs, now } = rules;
  const failed: string[] = [];
  const { holder, paused, blocked, successor, last } = truth;
  if (holder?.token !== tenure.token) {
    const shown = holder ? `${holder.region}/${holder.pod} with token ${holder.token}` : 'no holder';
    failed.push(`not the holder: etcd shows ${shown}, not token ${tenure.token}`);
  }
  if (paused) failed.push(`${lock} is paused by ${paused.who} since ${paused.when}: ${paused.why}`);
  if (blocked !== null) failed.push(`${lock} is blocked: ${blocked}`);
  if (successor !== null && successor !== rules.to) failed.push(`${lock} is reserved for ${successor}`);
  const sinceMs = last ? now - Date.parse(last.at) : Number.NaN;
  if (sinceMs < minSwitchIntervalMs)
    failed.push(`last change ${sinceMs} ms ago, less than minSwitchIntervalMs = ${minSwitchIntervalMs}`);
  return failed;
}

/** Who may be asked to take over, the one that is ready longest first; or why there is nobody. */
export function eligible(truth: LockTruth, { tenure, to }: PreflightRules): Candidate[] | string {
  const wanted = truth.candidates.filter(({ region }) =>
    to === null ? region !== tenure.region : region === to,
  );
  const where = to ?? 'any other region';
  if (wanted.length === 0) {
    const known = [...new Set(truth.candidates.map(({ region }) => region))].toSorted();
    return `no candidate in ${where}; there are some in: ${known.join(', ') || 'no region'}`;
  }
  const able = wanted.filter(({ state, standing }) => state === 'ready' && standing);
  if (able.length > 0) return able.toSorted((a, b) => a.since.localeCompare(b.since));
  const reasons = wanted.map(
    ({ pod, state, standing }) => `${pod} is ${state} and ${standing ? 'stands' : 'does not stand'}`,
  );
  return `no candidate in ${where} is ready and stands: ${reasons.join(', ')}`;
}
