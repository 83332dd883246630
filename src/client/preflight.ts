import type { Check, PreflightReport, RegionStatus } from '../../workflows/contract';
import { TurnedDownError } from './errors';
import { noAnswerText, type RegionWorkflows, WorkflowsAwayError } from './region-workflows';

/** A preflight's checks, with those of the workflows, which only a client can ask. */
export interface PreflightAnswer extends Omit<PreflightReport, 'able'> {
  /** The region asked about, or `null` for all but the holder's. */
  to: string | null;
  /** Regions that could take over now. Empty when a check of the lock as a whole has failed. */
  able: string[];
}

/** Whether the region asked about, or any other one, could take over now. */
export const couldSwitch = ({ to, able }: PreflightAnswer): boolean =>
  to === null ? able.length > 0 : able.includes(to);

/** What speaks against it, each failed check with its values. */
export const failuresOf = ({ checks, to }: PreflightAnswer): string =>
  checks
    .filter(({ region, passed }) => !passed && (region === null || to === null || region === to))
    .map(({ check, why }) => `${check} (${why})`)
    .join('; ');

/** The holder of a lock, to be asked first; `null` for nobody. */
type HolderRegion = string | null;

/**
 * Asks the active region's workflow, else another one, to run every preflight check; and every workflow whether it runs
 * and beats. Changes nothing.
 *
 * @throws WorkflowsAwayError when Temporal does not answer; TurnedDownError when no region's workflow could ask anybody.
 */
export async function askPreflight(
  workflows: RegionWorkflows,
  lock: string,
  regions: string[],
  holder: HolderRegion,
  to: string | null,
): Promise<PreflightAnswer> {
  const checks = Promise.all(regions.map((region) => workflowCheck(workflows, lock, region, holder)));
  const order = [...regions].toSorted((a, b) => Number(b === holder) - Number(a === holder));
  const reasons: string[] = [];
  for (const region of order) {
    const answer = await workflows.preflight(lock, region, to === null ? {} : { to });
    if (answer.outcome === 'answered') return join(answer.answer, await checks, to);
    reasons.push(`${region}: ${noAnswerText(answer)}`);
  }
  throw new TurnedDownError(`no region's workflow of ${lock} could run the checks (${reasons.join('; ')})`);
}

function join(report: PreflightReport, workflowChecks: Check[], to: string | null): PreflightAnswer {
  const checks = [...report.checks, ...workflowChecks];
  const lockFails = checks.some(({ region, passed }) => region === null && !passed);
  return { ...report, checks, to, able: lockFails ? [] : report.able };
}

async function workflowCheck(
  workflows: RegionWorkflows,
  lock: string,
  region: string,
  holder: HolderRegion,
): Promise<Check> {
  const verdict = (passed: boolean, why: string): Check => ({
    check: 'workflow running',
    region,
    pod: null,
    passed,
    why,
  });
  try {
    const status = await workflows.status(lock, region);
    if (status === 'not-running')
      return verdict(false, `not running; start it with: baton start --region ${region}`);
    const silent = (status.silentBeats ?? 0) > 0;
    return verdict(!silent, `${status.phase}${region === holder ? `, ${beatText(status)}` : ''}`);
  } catch (error) {
    if (!(error instanceof WorkflowsAwayError)) throw error;
    return verdict(false, `no pod of ${region} answers for it (${error.message})`);
  }
}

const beatText = ({ beat }: RegionStatus): string =>
  beat ? `last beat ${beat.at}: ${beat.outcome}` : 'no beat yet';
