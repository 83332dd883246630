import type {
  Figures,
  LaneSpan,
  LaneState,
  LockCard,
  LockHistory,
  Series,
  TemporalCard,
} from '../dashboard/feed-contract';
import { receiptLine } from './receipt-text';
import { counted, span } from './table';

export interface TopLock {
  card: LockCard;
  history: LockHistory;
  series: Series;
}

const cells: Record<LaneState, string> = {
  active: '█',
  draining: '▓',
  gap: '!',
  standby: '·',
  'not-ready': '-',
  unreachable: 'x',
  unknown: '?',
};
const weight: LaneState[] = ['unreachable', 'standby', 'not-ready', 'unknown', 'active', 'draining', 'gap'];
const blocks = ' ▁▂▃▄▅▆▇█';
const laneMinutes = 10;
const nameWidth = 22;

/** The whole screen, one string a line, none longer than `columns`. `now` in ms. */
export function topFrame(locks: TopLock[], temporal: TemporalCard, now: number, columns: number): string[] {
  const width = Math.max(20, columns - nameWidth - 3);
  const lines = [
    `baton top  ${new Date(now).toISOString()}  ${counted(locks.length, 'lock')}; lanes: the last ${laneMinutes} minutes`,
    legend(),
    ...awayLines(locks, temporal, now),
    ...locks.flatMap((lock) => ['', ...lockLines(lock, now, width)]),
  ];
  return lines.map((line) => (line.length < columns ? line : `${line.slice(0, columns - 2)}…`));
}

/** For a pipe: a line for each lock, with the time. */
export function topLine({ card }: TopLock, now: number): string {
  const { lock, regions, paused } = card;
  const states = regions.map(({ region, state }) => `${region} ${state}`).join(', ');
  const marks = paused === null ? '' : `; paused by ${paused.who}: ${paused.why}`;
  return `${new Date(now).toISOString()}  ${lock}: ${whoText(card, now)}; ${states}; ${figuresText(card.figures)}${marks}`;
}

export const awayLines = (locks: TopLock[], { away }: TemporalCard, now: number): string[] => {
  const etcd = locks.map(({ card }) => card.etcdAway).find((each) => each !== null);
  return [
    ...(etcd ? [`etcd unreachable for ${span(now - etcd.since)}; shown as last read: ${etcd.why}`] : []),
    ...(away ? [`Temporal unreachable for ${span(now - away.since)}; shown from etcd`] : []),
  ];
};

function lockLines({ card, history, series }: TopLock, now: number, width: number): string[] {
  const [last] = history.receipts;
  const lanes = card.regions.map(({ region, state, cordoned }) => {
    const name = `${region} ${cordoned ? 'cordoned' : state}`;
    return `${fit(name)}  ${laneText(history.lanes[region] ?? [], now, width)}`;
  });
  const notes = [
    ...(card.paused ? [`paused by ${card.paused.who}: ${card.paused.why}`] : []),
    ...(card.flapping ? [`no automatic change until baton ack: ${card.flapping.why}`] : []),
    ...(card.blocked === null ? [] : [`blocked: ${card.blocked}`]),
    ...(card.switchUnderWay ? [`switch under way: ${card.switchUnderWay.why}`] : []),
  ];
  return [
    `${card.lock}: ${whoText(card, now)}`,
    ...lanes,
    `${fit('messages/s')}  ${sparkline(series[1], width)}`,
    `${fit('')}  ${figuresText(card.figures)}, expected gap ${card.expectedGap}`,
    ...(last ? [`${fit('last change')}  ${ago(last.at, now)} ago: ${receiptLine(last)}`] : []),
    ...notes.map((note) => `${fit('')}  ${note}`),
  ];
}

function whoText(
  { holder, etcdAway, freeSince, ttlLeftMs, readAt, leaseTtlMs, pods }: LockCard,
  now: number,
): string {
  if (etcdAway) return `unknown, as etcd does not answer; last known: ${holder?.region ?? 'nobody'}`;
  if (!holder) return `NOBODY is active${freeSince === null ? '' : ` for ${span(now - freeSince)}`}`;
  const ready = pods.filter(({ holds, state, standing }) => !holds && state === 'ready' && standing).length;
  const left =
    ttlLeftMs === null
      ? ''
      : `, lease ${(Math.max(0, ttlLeftMs + 999 - (now - readAt)) / 1000).toFixed(0)} of ${leaseTtlMs / 1000} s`;
  return `${holder.region} is active for ${ago(holder.since, now)}, ${ready} ready to take over (pod ${holder.pod}, token ${holder.token}${left})`;
}

const figuresText = ({ rate, handlerP50, handlerP99 }: Figures): string =>
  rate === null
    ? 'rate unknown'
    : `${rate.toFixed(rate < 10 ? 1 : 0)} messages/s, handler p50 ${ms(handlerP50)} p99 ${ms(handlerP99)}`;

const ms = (value: number | null): string => (value === null ? '-' : `${value.toFixed(1)} ms`);

/** A cell shows the worst of what happened in its time: a gap of milliseconds must not vanish. */
export function laneText(spans: LaneSpan[], now: number, width: number): string {
  const cellMs = (laneMinutes * 60_000) / width;
  const begin = now - laneMinutes * 60_000;
  return Array.from({ length: width }, (_, index) => {
    const from = begin + index * cellMs;
    const within = spans.filter((each) => each.from < from + cellMs && (each.to ?? now) > from);
    const worst = within.reduce<LaneState | null>(
      (found, { state }) => (found && weight.indexOf(found) > weight.indexOf(state) ? found : state),
      null,
    );
    return worst === null ? ' ' : cells[worst];
  }).join('');
}

function sparkline(values: (number | null)[], width: number): string {
  const shown = values.slice(-width);
  const peak = Math.max(1, ...shown.map((value) => value ?? 0));
  return shown.map((value) => blocks[Math.ceil(((value ?? 0) / peak) * 8)]).join('');
}

const legend = (): string =>
  Object.entries(cells)
    .map(([state, cell]) => `${cell} ${state}`)
    .join('  ');
const fit = (text: string): string => text.slice(0, nameWidth).padEnd(nameWidth);

function ago(at: string, now: number): string {
  const when = Date.parse(at);
  return Number.isNaN(when) ? 'unknown time' : span(Math.max(0, now - when));
}
