import type { Candidate, Check, CheckName, LockTruth, Marked, ProbeResult, Tenure } from './contract';
import { age, seconds } from './decision-text';
import type { SwitchGates } from './region-state';

export interface PreflightRules {
  lock: string;
  /** The tenure that would be given away; `null` where the asked region has none. */
  tenure: Tenure | null;
  /** The region asked for; any other when `null`. */
  to: string | null;
  minSwitchIntervalMs: number;
  /** The switch under way, if any, in one sentence. */
  underWay: string | null;
  /** ms since 1970. */
  now: number;
}

/** Checks that etcd's word alone decides, each with its values. */
export function lockChecks(truth: LockTruth, rules: PreflightRules): Check[] {
  const { lock, tenure, minSwitchIntervalMs, underWay, now } = rules;
  const { holder, paused, blocked, successor, last } = truth;
  const shown = holder ? `${holder.region}/${holder.pod} with token ${holder.token}` : 'no holder';
  const asKnown = tenure !== null && holder?.token === tenure.token;
  const sinceMs = last ? now - Date.parse(last.at) : Number.POSITIVE_INFINITY;
  const changed = last ? `last change ${Math.round(sinceMs)} ms ago` : 'nobody has held it before';
  const limit = `minSwitchIntervalMs = ${minSwitchIntervalMs}`;
  return [
    tenure
      ? check(
          'holder',
          asKnown,
          `etcd shows ${shown}`,
          `not the holder: etcd shows ${shown}, not token ${tenure.token}`,
        )
      : check(
          'holder',
          holder !== null,
          `etcd shows ${shown}`,
          `etcd shows ${shown}: there is nothing to hand over`,
        ),
    check(
      'no other switch',
      underWay === null,
      'none is under way',
      `another switch is under way: ${underWay}`,
    ),
    check(
      'not paused',
      paused === null,
      'not paused',
      `${lock} is paused by ${paused?.who} since ${paused?.when}: ${paused?.why}`,
    ),
    check('automatic changes', true, flappingText(truth.flapping ?? null), ''),
    check('not blocked', blocked === null, 'not blocked', `${lock} is blocked: ${blocked}`),
    check(
      'not reserved',
      successor === null || successor === rules.to,
      'not reserved for a successor',
      `${lock} is reserved for ${successor}`,
    ),
    check(
      'time since last change',
      // Without a limit no clock is compared: a pod's may be ahead of the workflow's, and the time then negative.
      minSwitchIntervalMs === 0 || !(sinceMs < minSwitchIntervalMs),
      minSwitchIntervalMs > 0 ? `${changed}, ${limit}` : `${changed}, no limit`,
      `last change ${Math.round(sinceMs)} ms ago, less than ${limit}`,
    ),
  ];
}

const flappingText = (flapping: Marked | null): string =>
  flapping
    ? `stopped since ${flapping.when}: ${flapping.why}; a switch by a person goes on, baton ack allows them again`
    : 'allowed';

/** Smaller is more preferred; what is not in the order comes after it. */
export const placeIn = (order: readonly string[], region: string): number =>
  order.includes(region) ? order.indexOf(region) : order.length;

const mayBeActive = (region: string, never: string[]): Check => ({
  ...check(
    'may be active',
    !never.includes(region),
    'the configuration allows it',
    `${region} may never be active (preference.never)`,
  ),
  region,
});

/** The regions in question, and what etcd says of their candidates; those that may be asked come in `able`, the most preferred first. */
export function candidateChecks(
  truth: LockTruth,
  { tenure, to, now }: PreflightRules,
): { checks: Check[]; able: Candidate[] } {
  const from = tenure?.region ?? truth.holder?.region;
  const { order, never } = truth.preference ?? { order: [], never: [] };
  const known = [...new Set(truth.candidates.map(({ region }) => region))].toSorted();
  const regions = to === null ? known.filter((region) => region !== from) : [to];
  const able = truth.candidates
    .filter(
      ({ region, state, standing }) =>
        regions.includes(region) && !never.includes(region) && state === 'ready' && standing,
    )
    .toSorted(
      (a, b) => placeIn(order, a.region) - placeIn(order, b.region) || a.since.localeCompare(b.since),
    );
  const preferenceChecks = never.length === 0 ? [] : regions.map((region) => mayBeActive(region, never));
  const cordonChecks = regions.map((region): Check => {
    const cordon = truth.cordons?.find((each) => each.region === region);
    const why = `${region} is cordoned by ${cordon?.who} since ${cordon?.when}: ${cordon?.why}`;
    return { ...check('not cordoned', cordon === undefined, 'not cordoned', why), region };
  });
  const checks = regions.map((region): Check => {
    const here = truth.candidates.filter((candidate) => candidate.region === region);
    const fit = able.filter((candidate) => candidate.region === region);
    const others = `there are some in: ${known.join(', ') || 'no region'}`;
    const unfit = here
      .map(({ pod, state, standing }) => `${pod} is ${state} and ${standing ? 'stands' : 'does not stand'}`)
      .join(', ');
    return {
      ...check(
        'candidate',
        fit.length > 0,
        fit.map(({ pod, since }) => `${pod} is ready and stands, for ${age(since, now)}`).join(', '),
        here.length === 0
          ? `no candidate in ${region}; ${others}`
          : `no candidate in ${region} is ready and stands: ${unfit}`,
      ),
      region,
    };
  });
  if (regions.length === 0)
    checks.push(
      check(
        'candidate',
        false,
        '',
        'no candidate in any other region; there are some in: ' + (known.join(', ') || 'no region'),
      ),
    );
  return { checks: [...preferenceChecks, ...cordonChecks, ...checks], able };
}

/** What a candidate said of itself, or why it said nothing. */
export function podChecks(candidate: Candidate, answer: ProbeResult | { silent: string }): Check[] {
  const { region, pod } = candidate;
  const of = (each: Pick<Check, 'check' | 'passed' | 'why'>): Check => ({ ...each, region, pod });
  if ('silent' in answer)
    return [of({ check: 'pod answers', passed: false, why: `${pod}: does not answer: ${answer.silent}` })];
  const { ready, why, checks = [] } = answer;
  return [
    of({
      check: 'pod answers',
      passed: ready,
      why: ready ? `${pod}: ${why}` : `${pod}: not ready: ${why}`,
    }),
    ...checks.map(of),
  ];
}

/** Whose word a switch would wait for. */
export function gateCheck({ approvalWithinMs = 0, hooks = [] }: SwitchGates): Check {
  const approval =
    approvalWithinMs > 0 ? [`an approval by somebody else within ${seconds(approvalWithinMs)}`] : [];
  const asked = hooks.map(({ name, at }) => `hook ${name} ${at}`);
  return check(
    'approval and hooks',
    true,
    [...approval, ...asked].join(', ') || 'nobody has to be asked',
    '',
  );
}

/** A refusal: each failed check in its own words. */
export const failuresIn = (checks: Check[]): string[] =>
  checks.filter(({ passed }) => !passed).map(({ why }) => why);

/** `40 ms at the median of 12 planned switches, 55 ms at most`. */
export function expectedGap(gapsMs: number[]): string {
  if (gapsMs.length === 0) return 'unknown: no planned switch with a known gap yet';
  const sorted = gapsMs.toSorted((a, b) => a - b);
  const median = sorted[Math.floor((sorted.length - 1) / 2)] ?? 0;
  if (gapsMs.length === 1) return `${median} ms, as in the only planned switch so far`;
  return `${median} ms at the median of the last ${gapsMs.length} planned switches, ${sorted.at(-1)} ms at most`;
}

function check(name: CheckName, passed: boolean, why: string, whyNot: string): Check {
  return { check: name, region: null, pod: null, passed, why: passed ? why : whyNot };
}
