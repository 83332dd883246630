import type { Check } from '../../workflows/contract';
import { expectedGap } from '../../workflows/preflight';
import type { PreflightAnswer } from '../client/preflight';
import { table } from './table';

export const couldSwitch = ({ to, able }: PreflightAnswer): boolean =>
  to === null ? able.length > 0 : able.includes(to);

/** Every check with its verdict, then what follows. */
export function preflightText(answer: PreflightAnswer): string {
  const { lock, holder, checks, recentGapsMs } = answer;
  const held = holder
    ? `held by ${holder.region} (pod ${holder.pod}, token ${holder.token})`
    : 'held by nobody';
  const rows = checks.map(({ check, region, pod, passed, why }) => [
    passed ? 'ok' : 'FAILED',
    check,
    pod ?? region ?? 'lock',
    why,
  ]);
  return [
    `${lock}, ${held}`,
    table(['', 'CHECK', 'OF', 'FOUND'], rows),
    verdict(answer),
    `expected gap: ${expectedGap(recentGapsMs)}`,
  ].join('\n');
}

function verdict(answer: PreflightAnswer): string {
  const { lock, to, able, holder, checks } = answer;
  if (to !== null && holder?.region === to) return `${to} holds ${lock}`;
  if (couldSwitch(answer)) return `${to ?? able.join(' and ')} could take ${lock} over now`;
  const failed = checks.filter((check) => !check.passed && concerns(check, to));
  const reasons = failed.map(({ check, why }) => `${check} (${why})`);
  return `${to ?? 'no other region'} could not take ${lock} over now: ${reasons.join('; ')}`;
}

const concerns = ({ region }: Check, to: string | null): boolean =>
  region === null || to === null || region === to;
