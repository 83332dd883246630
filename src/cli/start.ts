import { chosenLocks, checkRegion } from './chosen-locks';
import { type CommandSpec, configOption, jsonOption, parseCommand } from './command-line';
import { asCommandError, loadOperatorConfig, Servers } from './servers';

const spec = {
  name: 'start',
  summary: 'start the workflows of a region, once however often it is called',
  options: {
    region: { value: 'REGION', required: true, help: 'the region' },
    lock: { value: 'LOCK', multiple: true, help: 'only this lock (default: all)' },
    ...configOption,
    ...jsonOption,
  },
  notes:
    "The region's pods (baton worker) then stand for the locks. Run it for every region at each deployment.",
} as const satisfies CommandSpec;

export async function run(argv: string[]): Promise<number> {
  const options = parseCommand(spec, argv);
  if ('help' in options) {
    console.log(options.help);
    return 0;
  }
  const config = await loadOperatorConfig(options);
  checkRegion(config, '--region', options.region);
  const locks = chosenLocks(config, options.lock);
  const servers = new Servers(config);
  try {
    const workflows = await servers.workflows();
    const results = [];
    // One after the other: the first that fails ends it, and calling again repeats nothing.
    for (const { name: lock } of locks)
      results.push({ lock, region: options.region, outcome: await workflows.start(lock, options.region) });
    if (options.json) console.log(JSON.stringify({ workflows: results }));
    else
      for (const { lock, region, outcome } of results)
        console.log(`baton/${lock}/${region} ${outcome === 'started' ? 'started' : 'is already running'}`);
    return 0;
  } catch (error) {
    throw asCommandError(error);
  } finally {
    await servers.close();
  }
}
