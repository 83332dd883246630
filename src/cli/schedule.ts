import type { Scheduled } from '../client/operations';
import {
  type CommandSpec,
  configOption,
  jsonOption,
  type Options,
  runParsed,
  UsageError,
} from './command-line';
import { withClient } from './operator-command';
import { table } from './table';

const spec = {
  name: 'schedule',
  summary: 'list or cancel scheduled switches and drills (baton switch and drill: --at, --cron)',
  argument: { value: 'list|cancel', help: 'what to do' },
  options: {
    id: { value: 'ID', help: 'of the one to be cancelled, as list shows it' },
    ...configOption,
    ...jsonOption,
  },
} as const satisfies CommandSpec;

export const run = (argv: string[]): Promise<number> => runParsed(spec, argv, work);

async function work(options: Options<typeof spec>): Promise<number> {
  const { argument: action, id, json } = options;
  if (action !== 'list' && action !== 'cancel')
    throw new UsageError(`baton schedule takes list or cancel, not "${action}"`);
  if ((action === 'cancel') !== (id !== undefined))
    throw new UsageError(action === 'cancel' ? '--id ID must be given to cancel' : '--id is for cancel only');
  return withClient({ ...options, lock: [] }, async (client) => {
    if (id !== undefined) {
      const cancelled = await client.cancelSchedule(id);
      if (json) console.log(JSON.stringify({ id, cancelled }));
      else console.log(cancelled ? `${id} is cancelled` : `there is no schedule ${id}`);
      return cancelled ? 0 : 1;
    }
    const schedules = await client.scheduled();
    if (json) console.log(JSON.stringify({ schedules }));
    else if (schedules.length === 0) console.log('nothing is scheduled');
    else console.log(table(['ID', 'KIND', 'LOCK', 'TO', 'WHEN', 'NEXT', 'BY', 'LAST'], schedules.map(rowOf)));
    return 0;
  });
}

const rowOf = ({ id, kind, lock, to, when, next, by, last }: Scheduled): string[] => [
  id,
  kind,
  lock,
  to ?? '-',
  when,
  next ?? '-',
  by,
  last ? `${last.outcome}: ${last.why}` : '-',
];
