import { configOption, jsonOption, type Options, runParsed } from './command-line';
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

type Answer = keyof typeof texts;

/** The two answers to a switch of a lock with `approvalWithinMs`. */
export const run = (name: Answer, argv: string[]): Promise<number> =>
  runParsed({ name, ...texts[name], options: approveOptions }, argv, (options) => answer(name, options));

async function answer(name: Answer, options: Options<{ options: typeof approveOptions }>): Promise<number> {
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
