import type { Comparison, View, ViewName } from '../verify/lock-views';
import { span, table } from './table';

/** `forMs`: since the first look in a row that did not agree. */
export interface Aged extends Comparison {
  forMs: number;
}

const kinds: Record<ViewName, string> = {
  etcd: 'etcd',
  workflow: 'workflows',
  pod: 'pods',
  broker: 'brokers',
};
const words = { disagree: 'they disagree', unknown: 'not everybody could be asked' };

/** Everything that `baton verify` prints. */
export const verifyText = (locks: Aged[]): string => locks.map(lockText).join('\n\n');

function lockText({ lock, verdict, overlap, forMs, disagreements, views }: Aged): string {
  const since = verdict === 'disagree' && forMs > 0 ? ` (for ${span(forMs)} at least)` : '';
  const rows = views.map((view) => [view.view, view.of || '-', reached[view.reached], view.says]);
  const lines = [
    `${lock}: ${verdict === 'agree' ? agreement(views) : words[verdict]}${since}${overlap ? ', and two are at work at once' : ''}`,
    table(['VIEW', 'OF', 'ASKED', 'SAYS'], rows).replace(/^/gm, '  '),
    ...disagreements.map((sentence) => `  disagree: ${sentence}`),
    ...(verdict === 'unknown' ? ['  what could be asked agrees; the rest counts as unknown'] : []),
  ];
  return lines.join('\n');
}

/** Whoever was not asked has not agreed. */
function agreement(views: View[]): string {
  const asked = views.filter(({ reached: was }) => was === 'yes').map(({ view }) => kinds[view]);
  const agreed = [...new Set(asked)].join(', ').replace(/, ([^,]*)$/, ' and $1');
  const others = views.filter(({ reached: was }) => was !== 'yes').map(({ view, of }) => `${view} ${of}`);
  return others.length === 0 ? `${agreed} agree` : `${agreed} agree; not asked: ${others.join('; ')}`;
}

const reached: Record<View['reached'], string> = { yes: 'yes', no: 'no', 'not-configured': '-' };
