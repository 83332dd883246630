import { type CommandSpec, configOption, jsonOption, parseCommand } from './command-line';
import { forEachLock, lockOption, whoAmI, whoOptions, withClient } from './operator-command';

const texts = {
  approve: {
    summary: 'let a switch go on that waits for an approval',
    notes:
      'By somebody else than who asked for the switch; every check is then made again. Exit code 0 when it was taken in.',
  },
  veto: {
    summary: 'end a switch that waits for an approval',
    notes: 'Nothing has been touched by then. Exit code 0 when it was taken in.',
  },
} as const;

/** The two answers to a switch of a lock with `approvalWithinMs`. */
export async function run(name: keyof typeof texts, argv: string[]): Promise<number> {
  const spec = { name, ...texts[name], options: approveOptions } satisfies CommandSpec;
  const options = parseCommand(spec, argv);
  if ('help' in options) {
    console.log(options.help);
    return 0;
  }
  const { reason, by = whoAmI(), switch: switchId, json } = options;
  return withClient(options, async (client, locks) => {
    const answers = await forEachLock(
      locks,
      async (lock) => ({ lock, taken: true, why: await client[name](lock, { reason, by }, switchId) }),
      (lock, why) => ({ lock, taken: false, why }),
    );
    if (json) console.log(JSON.stringify({ answers }));
    else for (const { lock, why } of answers) console.log(`${lock}: ${why}`);
    return answers.some(({ taken }) => taken) ? 0 : 1;
  });
}

const approveOptions = {
  ...whoOptions,
  ...lockOption,
  switch: { value: 'ID', help: 'only this switch (default: the one under way)' },
  ...configOption,
  ...jsonOption,
} as const;
