import type { Party, Receipt, SwitchAnswer } from '../../workflows/contract';
import { fields } from './table';

/** A receipt for an operator. A figure that nobody knows is said to be unknown. */
export function receiptText(receipt: Receipt, more: [string, string][] = []): string {
  const { lock, cause, why, by, from, to, at, drained, requeued, gapMs, firstStartedAt } = receipt;
  return fields([
    ['lock', lock],
    ['cause', cause],
    ['from', from === null ? 'nobody' : party(from)],
    ['to', to === null ? 'nobody' : party(to)],
    ['reason', why],
    ['by', by],
    ['at', at],
    ['drained', figure(drained, 'messages finished')],
    ['requeued', figure(requeued, 'messages returned unworked')],
    ['gap', gap(gapMs, firstStartedAt)],
    ...(receipt.answers ?? []).map(answerField),
    ['switch id', receipt.id],
    ...more,
  ]);
}

/** One line: `switch us-east → us-west (token 12 → 15): the reason (by anna@host)`. */
export function receiptLine({ cause, from, to, why, by }: Receipt): string {
  const tokens =
    from === null ? `token ${to?.token ?? 'none'}` : `token ${from.token} → ${to?.token ?? 'none'}`;
  return `${cause} ${from?.region ?? 'nobody'} → ${to?.region ?? 'nobody'} (${tokens}): ${why} (by ${by})`;
}

const answerField = ({ stage, from, verdict, why }: SwitchAnswer): [string, string] =>
  stage === 'approval' ? ['approved', `by ${from}: ${why}`] : [stage, `hook ${from}: ${verdict}: ${why}`];

const party = ({ region, pod, token }: Party): string => `${region}, pod ${pod}, token ${token}`;

const figure = (count: number | null, what: string): string =>
  count === null ? 'unknown' : `${count} ${what}`;

function gap(gapMs: number | null, firstStartedAt: string | null): string {
  if (gapMs !== null) return `${gapMs} ms between the last message there and the first one here`;
  return firstStartedAt === null
    ? 'unknown: no message has started yet'
    : 'unknown: no message was finished before';
}
