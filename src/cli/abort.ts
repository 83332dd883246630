import type { Aborted } from '../client/baton-client';
import { type CommandSpec, configOption, jsonOption, type Options, runParsed } from './command-line';
import { forEachLock, lockOption, whoAmI, whoOptions, withClient } from './operator-command';

const spec = {
  name: 'abort',
  summary: 'undo the switch under way: the old holder goes on under the same token',
  options: {
    ...whoOptions,
    ...lockOption,
    switch: { value: 'ID', help: 'only this switch (default: the one under way)' },
    ...configOption,
    ...jsonOption,
  },
  notes:
    'Exit code 0 when it was undone, 1 when there was nothing to undo or the hand-over came first; then it says so.',
} as const satisfies CommandSpec;

export const run = (argv: string[]): Promise<number> => runParsed(spec, argv, work);

async function work(options: Options<typeof spec>): Promise<number> {
  const { reason, by = whoAmI(), switch: switchId, json } = options;
  return withClient(options, async (client, locks) => {
    type Outcome = Omit<Aborted, 'switchId' | 'result'> & {
      lock: string;
      switchId: string | null;
      result: Aborted['result'] | 'not-aborted';
    };
    const aborts = await forEachLock<Outcome>(
      locks,
      async (lock) => ({ lock, ...(await client.abort(lock, { reason, by }, switchId)) }),
      (lock, why) => ({ lock, switchId: switchId ?? null, result: 'not-aborted', why, receipt: null }),
    );
    if (json) console.log(JSON.stringify({ aborts }));
    else for (const { lock, result, why } of aborts) console.log(`${lock}: ${result}: ${why}`);
    return aborts.some(({ result }) => result === 'rolled-back') ? 0 : 1;
  });
}
