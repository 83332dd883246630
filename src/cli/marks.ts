import type { BatonClient, Marking, Who } from '../client/baton-client';
import { checkRegion } from './chosen-locks';
import { type CommandSpec, configOption, jsonOption, type Options, runParsed } from './command-line';
import { lockOption, whoAmI, whoOptions, withClient } from './operator-command';

interface MarkCommand {
  name: string;
  summary: string;
  ofRegion: boolean;
  notes: string;
  set(client: BatonClient, lock: string, region: string, who: Who): Promise<Marking>;
}

const commands: MarkCommand[] = [
  {
    name: 'pause',
    summary: 'no takeover and no switch until baton resume; the holder goes on',
    ofRegion: false,
    notes:
      'It stands in etcd until baton resume, whatever restarts. While a lock is paused nobody replaces a dead pod.',
    set: (client, lock, _region, who) => client.pause(lock, who),
  },
  {
    name: 'resume',
    summary: 'end baton pause',
    ofRegion: false,
    notes: 'A lock that became free meanwhile is taken at once.',
    set: (client, lock, _region, who) => client.resume(lock, who),
  },
  {
    name: 'ack',
    summary: 'allow automatic changes of region again, after there were too many',
    ofRegion: false,
    notes: 'Past maxChangesPerHour a lock stays in its region until then. Changes are counted from now on.',
    set: (client, lock, _region, who) => client.ack(lock, who),
  },
  {
    name: 'cordon',
    summary: 'take a region out of service: its holder hands over, its candidates step back',
    ofRegion: true,
    notes:
      'It stands in etcd until baton uncordon, whatever restarts. With no other region ready, the holder stays.',
    set: (client, lock, region, who) => client.cordon(lock, region, who),
  },
  {
    name: 'uncordon',
    summary: 'end baton cordon',
    ofRegion: true,
    notes: 'Its pods become candidates again; nothing is switched back.',
    set: (client, lock, region, who) => client.uncordon(lock, region, who),
  },
];

/** The commands that set a mark in etcd, or take it away. Asked again they change nothing, and say so. */
export async function run(name: string, argv: string[]): Promise<number> {
  const command = commands.find((each) => each.name === name);
  if (!command) throw new Error(`no such mark: ${name}`);
  const { summary, ofRegion, notes } = command;
  const spec: CommandSpec<typeof markOptions> = {
    name,
    summary,
    ...(ofRegion && { argument: { value: 'REGION', help: 'the region' } }),
    options: markOptions,
    notes,
  };
  return runParsed(spec, argv, (options) => mark(command, options));
}

async function mark(
  command: MarkCommand,
  options: Options<{ options: typeof markOptions }>,
): Promise<number> {
  const { argument: region = '', reason, by = whoAmI(), json } = options;
  return withClient(options, async (client, locks) => {
    if (command.ofRegion) checkRegion(client.config, 'REGION', region);
    const marks: Marking[] = [];
    for (const { name: lock } of locks) marks.push(await command.set(client, lock, region, { reason, by }));
    if (json) console.log(JSON.stringify({ marks }));
    else for (const { lock, why } of marks) console.log(`${lock}: ${why}`);
    return 0;
  });
}

const markOptions = { ...whoOptions, ...lockOption, ...configOption, ...jsonOption } as const;
