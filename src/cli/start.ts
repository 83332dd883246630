import { checkRegion } from './chosen-locks';
import { type CommandSpec, configOption, jsonOption, type Options, runParsed } from './command-line';
import { lockOption, withClient } from './operator-command';

const spec = {
  name: 'start',
  summary: 'start the workflows of a region, once however often it is called',
  options: {
    region: { value: 'REGION', required: true, help: 'the region' },
    ...lockOption,
    ...configOption,
    ...jsonOption,
  },
  notes:
    "The region's pods (baton worker) then stand for the locks. Run it for every region at each deployment.",
} as const satisfies CommandSpec;

export const run = (argv: string[]): Promise<number> => runParsed(spec, argv, work);

async function work(options: Options<typeof spec>): Promise<number> {
  const { region, json } = options;
  return withClient(options, async (client, locks) => {
    checkRegion(client.config, '--region', region);
    const workflows = [];
    // One after the other: the first that fails ends it, and calling again repeats nothing.
    for (const { name: lock } of locks)
      workflows.push({ lock, region, outcome: await client.start(lock, region) });
    if (json) console.log(JSON.stringify({ workflows }));
    else
      for (const { lock, outcome } of workflows)
        console.log(`baton/${lock}/${region} ${outcome === 'started' ? 'started' : 'is already running'}`);
    return 0;
  });
}
