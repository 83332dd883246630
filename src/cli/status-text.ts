import type { LockStatus } from '../client/lock-status';
import { receiptLine } from './receipt-text';
import type { StatusReport } from '../client/status-reader';
import { fields, span, table } from './table';

const head = ['REGION', 'STATE', 'HOLDER', 'TOKEN', 'SINCE', 'TTL LEFT', 'READY', 'WHY'];

/** Everything that `baton status` prints; `now` in ms. */
export function statusText({ locks, temporalAway }: StatusReport, now: number): string {
  const parts = locks.map((lock) => lockText(lock, now));
  const etcdAway = locks.find((lock) => lock.etcdAway !== null)?.etcdAway;
  const notes = [
    ...(etcdAway == null ? [] : [`${etcdAway}; what is shown is the workflows' word and may be old`]),
    ...(temporalAway === null ? [] : [`${temporalAway}; what is shown is etcd's word`]),
  ];
  return [...parts, ...notes].join('\n\n');
}

function lockText(lock: LockStatus, now: number): string {
  const rows = lock.regions.map(({ region, state, candidates, why }) => {
    const holds = lock.holder?.region === region ? lock.holder : null;
    return [
      region,
      state,
      holds?.pod ?? '-',
      holds === null ? '-' : String(holds.token),
      holds === null ? '-' : `${holds.since} (${age(holds.since, now)})`,
      holds === null || lock.ttlLeftMs === null ? '-' : span(lock.ttlLeftMs),
      candidates === null ? '?' : `${candidates.ready}/${candidates.total}`,
      why,
    ];
  });
  const facts: [string, string][] = [];
  const { holder, last, preference, paused, cordons = [], flapping, blocked, successor } = lock;
  if (holder !== null && !lock.regions.some(({ region }) => region === holder.region))
    facts.push([
      'held by',
      `${holder.region}, pod ${holder.pod}, token ${holder.token}: no region of the configuration`,
    ]);
  if (holder === null && lock.etcdAway === null) facts.push(['held by', 'nobody']);
  facts.push(['last change', last === null ? 'none' : `${ago(last.at, now)}: ${receiptLine(last)}`]);
  if (preference && preference.order.length + preference.never.length > 0)
    facts.push(['preference', preferenceText(preference)]);
  if (paused !== null) facts.push(['paused', `by ${paused.who}, ${ago(paused.when, now)}: ${paused.why}`]);
  if (flapping)
    facts.push([
      'flapping',
      `no automatic change until baton ack, ${ago(flapping.when, now)}: ${flapping.why}`,
    ]);
  for (const { region, who, why, when } of cordons)
    facts.push(['cordoned', `${region} by ${who}, ${ago(when, now)}: ${why}`]);
  if (blocked !== null) facts.push(['blocked', blocked]);
  if (successor !== null) facts.push(['successor', `${successor}: for a moment nobody else may acquire`]);
  return [
    lock.lock,
    indent(table(head, rows, (process.stdout.columns ?? Infinity) - 2)),
    indent(fields(facts)),
  ].join('\n');
}

const preferenceText = ({ order, never }: NonNullable<LockStatus['preference']>): string =>
  [
    ...(order.length > 0 ? [order.join(', then ')] : []),
    ...(never.length > 0 ? [`never ${never.join(', ')}`] : []),
  ].join('; ');

function age(since: string, now: number): string {
  const began = Date.parse(since);
  return Number.isNaN(began) ? 'age unknown' : span(Math.max(0, now - began));
}

const ago = (when: string, now: number): string =>
  Number.isNaN(Date.parse(when)) ? when : `${age(when, now)} ago`;

const indent = (text: string): string => text.replace(/^/gm, '  ');
