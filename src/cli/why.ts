import { couldSwitch } from '../client/preflight';
import { checkRegion } from './chosen-locks';
import { type CommandSpec, configOption, jsonOption, type Options, runParsed } from './command-line';
import { lockOption, withClient } from './operator-command';
import { preflightText } from './preflight-text';

const spec = {
  name: 'why',
  summary: 'why a region is, or is not, ready to take over',
  argument: { value: 'REGION', help: 'the region' },
  options: { ...lockOption, ...configOption, ...jsonOption },
  notes:
    'Runs every check of a switch and changes nothing. Exit code 0 when the region holds the lock or could take it over.',
} as const satisfies CommandSpec;

export const run = (argv: string[]): Promise<number> => runParsed(spec, argv, work);

async function work(options: Options<typeof spec>): Promise<number> {
  const region = options.argument ?? '';
  return withClient(options, async (client, locks) => {
    checkRegion(client.config, 'REGION', region);
    const answers = await Promise.all(locks.map(({ name }) => client.preflight(name, region)));
    if (options.json) console.log(JSON.stringify({ preflights: answers }));
    else console.log(answers.map(preflightText).join('\n\n'));
    return answers.every((answer) => couldSwitch(answer) || answer.holder?.region === region) ? 0 : 1;
  });
}
