import { expectedGap } from '../../workflows/preflight';
import { couldSwitch, failuresOf, type PreflightAnswer } from '../client/preflight';
import { table } from './table';

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
  const { lock, to, able, holder } = answer;
  if (to !== null && holder?.region === to) return `${to} holds ${lock}`;
  if (couldSwitch(answer)) return `${to ?? able.join(' and ')} could take ${lock} over now`;
  return `${to ?? 'no other region'} could not take ${lock} over now: ${failuresOf(answer)}`;
}
