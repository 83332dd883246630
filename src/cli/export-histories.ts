import { type CommandSpec, configOption, jsonOption, type Options, runParsed } from './command-line';
import { lockOption, withClient } from './operator-command';
import { counted } from './table';

const spec = {
  name: 'export-histories',
  summary: 'save the histories of all runs that Temporal still has',
  argument: { value: 'DIR', help: 'folder for one file per run; made if it is not there' },
  options: { ...lockOption, ...configOption, ...jsonOption },
  notes:
    'For baton replay DIR, with the version that is to be deployed next. Run it before the retention ends.',
} as const satisfies CommandSpec;

export const run = (argv: string[]): Promise<number> => runParsed(spec, argv, work);

async function work(options: Options<typeof spec>): Promise<number> {
  const { argument: folder = '', json } = options;
  return withClient(options, async (client, locks) => {
    const names = locks.map(({ name }) => name);
    // baton/<lock>/<region>, baton-drill/<lock>/…, baton-switch/<lock>/…; of a group, the input says it.
    const isWanted = (id: string, ofGroup: string[]): boolean =>
      options.lock.length === 0 || [id.split('/')[1] ?? '', ...ofGroup].some((lock) => names.includes(lock));
    const workflows = await client.connections().workflows();
    const saved = await workflows.exportHistories(folder, isWanted);
    if (json) console.log(JSON.stringify({ histories: saved }));
    else {
      for (const { file, events } of saved) console.log(`${file}: ${events} events`);
      console.log(`${counted(saved.length, 'history', 'histories')} saved in ${folder}`);
    }
    return 0;
  });
}
