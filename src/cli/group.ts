import { checkRegion } from './chosen-locks';
import {
  type CommandSpec,
  configOption,
  jsonOption,
  type Options,
  runParsed,
  UsageError,
} from './command-line';
import { whoAmI, whoOptions, withClient } from './operator-command';
import { table } from './table';

const actions = ['switch', 'pause', 'resume', 'abort'] as const;

const spec = {
  name: 'group',
  summary: 'switch several locks together: all of them, or none',
  argument: { value: actions.join('|'), help: 'switch; or what to do with one under way' },
  options: {
    to: { value: 'REGION', help: 'switch: the region to become active' },
    ...whoOptions,
    lock: { value: 'LOCK', multiple: true, help: 'switch: in this order (default: all, as configured)' },
    'at-once': { help: 'switch: all at the same time instead of one after the other' },
    id: { value: 'ID', help: 'pause, resume, abort: the group, as switch has printed it' },
    ...configOption,
    ...jsonOption,
  },
  notes:
    'All preflights come first; one that fails refuses the group, with nothing touched. A lock that cannot be switched, and\nan abort, bring those that have moved back, the last one first. It runs as a workflow of its own: Ctrl-C ends the\nwaiting, not the group. Exit code 0 when all have moved.',
} as const satisfies CommandSpec;

export const run = (argv: string[]): Promise<number> => runParsed(spec, argv, work);

async function work(options: Options<typeof spec>): Promise<number> {
  const { to, reason, by = whoAmI(), id, json } = options;
  const action = actions.find((each) => each === options.argument);
  if (action === undefined)
    throw new UsageError(`baton group takes ${actions.join(', ')}, not "${options.argument}"`);
  if (action !== 'switch') {
    if (id === undefined) throw new UsageError(`--id ID must be given to ${action} a group`);
    return withClient({ ...options, lock: [] }, async (client) => {
      await client.controlGroup(id, { kind: action, reason, by });
      console.log(json ? JSON.stringify({ id, action }) : `${id}: asked to ${action}`);
      return 0;
    });
  }
  if (to === undefined) throw new UsageError('--to REGION must be given (baton group --help)');
  return withClient(options, async (client, all) => {
    checkRegion(client.config, '--to', to);
    // As listed on the command line: that is the order.
    const locks = options.lock.length > 0 ? [...new Set(options.lock)] : all.map(({ name }) => name);
    const order = options['at-once'] ? 'at-once' : 'in-order';
    const report = await client.switchGroup({ locks, to, reason, by, order }, (line) => console.error(line));
    if (json) console.log(JSON.stringify({ group: report }));
    else {
      const rows = [...report.switches, ...report.back].map(({ lock, to: region, outcome, why, receipt }) => [
        lock,
        region,
        outcome,
        receipt?.gapMs == null ? '-' : `${receipt.gapMs} ms`,
        why,
      ]);
      if (rows.length > 0) console.log(table(['LOCK', 'TO', 'OUTCOME', 'GAP', 'WHY'], rows));
      console.log(`${report.outcome}: ${report.why}`);
    }
    return report.outcome === 'done' ? 0 : 1;
  });
}
