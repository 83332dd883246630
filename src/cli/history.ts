import type { Receipt } from '../../workflows/contract';
import {
  type CommandSpec,
  configOption,
  jsonOption,
  type Options,
  runParsed,
  UsageError,
} from './command-line';
import { lockOption, withClient } from './operator-command';
import { table } from './table';
import { readDate, readSpan } from './time-text';

const spec = {
  name: 'history',
  summary: 'every change of holder, of all regions, in one timeline',
  options: {
    ...lockOption,
    since: { value: 'WHEN', help: 'as 90m, 12h, 7d, or a date as 2026-11-21T08:00Z (default: all)' },
    csv: { help: 'comma-separated values with a head line' },
    ...configOption,
    ...jsonOption,
  },
  notes:
    "The receipts in etcd, oldest first: the newest thousand of each lock, also of runs that Temporal no longer has.\nThe gap is from the last message there to the first one here; across machines it includes their clocks' difference.",
} as const satisfies CommandSpec;

export const run = (argv: string[]): Promise<number> => runParsed(spec, argv, work);

async function work(options: Options<typeof spec>): Promise<number> {
  if (options.csv && options.json) throw new UsageError('--csv and --json cannot be given together');
  const since = options.since === undefined ? undefined : readSince(options.since, Date.now());
  return withClient(options, async (client, locks) => {
    const receipts = await client.history(
      locks.map(({ name }) => name),
      since,
    );
    if (options.json) console.log(JSON.stringify({ receipts }));
    else if (options.csv) console.log(csvOf(receipts));
    else if (receipts.length === 0) console.log('no change of holder in this time');
    else console.log(table(head, receipts.map(rowOf)));
    return 0;
  });
}

function readSince(text: string, now: number): Date {
  const spanMs = readSpan(text);
  return spanMs === null ? readDate('--since', text, 'like 90m, 12h, 7d, or ') : new Date(now - spanMs);
}

const head = ['AT', 'LOCK', 'CAUSE', 'FROM', 'TO', 'TOKEN', 'GAP', 'DRAINED', 'BY', 'WHY'];

const rowOf = ({ at, lock, cause, from, to, gapMs, drained, by, why }: Receipt): string[] => [
  at,
  lock,
  cause,
  from?.region ?? '-',
  to?.region ?? '-',
  String(to?.token ?? '-'),
  gapMs === null ? '-' : `${gapMs} ms`,
  String(drained ?? '-'),
  by,
  why,
];

const columns: [string, (receipt: Receipt) => string | number | null | undefined][] = [
  ['at', ({ at }) => at],
  ['lock', ({ lock }) => lock],
  ['id', ({ id }) => id],
  ['cause', ({ cause }) => cause],
  ['from_region', ({ from }) => from?.region],
  ['from_pod', ({ from }) => from?.pod],
  ['from_token', ({ from }) => from?.token],
  ['to_region', ({ to }) => to?.region],
  ['to_pod', ({ to }) => to?.pod],
  ['to_token', ({ to }) => to?.token],
  ['drained', ({ drained }) => drained],
  ['requeued', ({ requeued }) => requeued],
  ['last_finished_at', ({ lastFinishedAt }) => lastFinishedAt],
  ['first_started_at', ({ firstStartedAt }) => firstStartedAt],
  ['gap_ms', ({ gapMs }) => gapMs],
  ['by', ({ by }) => by],
  ['why', ({ why }) => why],
];

/** As RFC 4180 has it; what is unknown is empty. */
export function csvOf(receipts: Receipt[]): string {
  const lines = receipts.map((receipt) => columns.map(([, value]) => csvCell(value(receipt))).join(','));
  return [columns.map(([name]) => name).join(','), ...lines].join('\r\n');
}

function csvCell(value: string | number | null | undefined): string {
  const text = String(value ?? '');
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
