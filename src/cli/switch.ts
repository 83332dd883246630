import { randomUUID } from 'node:crypto';
import type { Receipt, StepRecord } from '../../workflows/contract';
import type { BatonClient, SwitchOptions } from '../client/baton-client';
import { NotSwitchedError, UnsettledError } from '../client/errors';
import { isExpected } from '../client/expected-error';
import { couldSwitch } from '../client/preflight';
import { checkRegion } from './chosen-locks';
import {
  type CommandSpec,
  configOption,
  jsonOption,
  type Options,
  runParsed,
  UsageError,
} from './command-line';
import { lockOption, whoAmI, whoOptions, withClient } from './operator-command';
import { preflightText } from './preflight-text';
import { receiptText } from './receipt-text';
import { readScheduleTime, scheduleOptions } from './schedule-time';

const spec = {
  name: 'switch',
  summary: 'make another region active, and wait for the receipt',
  options: {
    to: { value: 'REGION', required: true, help: 'the region to become active' },
    ...whoOptions,
    reason: { value: 'TEXT', help: `${whoOptions.reason.help}; must be given unless it is a dry run` },
    ...lockOption,
    ...scheduleOptions,
    'dry-run': { help: 'run every check and change nothing' },
    timeout: {
      value: 'SECONDS',
      whole: { min: 1, max: 86_400 },
      help: "then the switch is aborted (default: the lock's limits for drain, approval and hooks, and 30 s)",
    },
    ...configOption,
    ...jsonOption,
  },
  notes:
    'Exit code 0 when the region is active, 1 when it is not, with the reason; of a dry run, 0 when it could become it.',
} as const satisfies CommandSpec;

interface LockSwitch {
  lock: string;
  switchId: string;
  outcome: 'done' | 'already-active' | 'not-done' | 'unsettled';
  why: string;
  receipt: Receipt | null;
  steps: StepRecord[];
}

export const run = (argv: string[]): Promise<number> => runParsed(spec, argv, work);

async function work(options: Options<typeof spec>): Promise<number> {
  const { to, reason, timeout, json, by = whoAmI() } = options;
  if (options['dry-run'])
    return withClient(options, async (client, locks) => {
      checkRegion(client.config, '--to', to);
      const answers = await Promise.all(locks.map(({ name }) => client.preflight(name, to)));
      if (json) console.log(JSON.stringify({ preflights: answers }));
      else console.log(answers.map(preflightText).join('\n\n'));
      return answers.every(couldSwitch) ? 0 : 1;
    });
  if (reason === undefined) throw new UsageError('--reason TEXT must be given (baton switch --help)');
  const time = readScheduleTime(options);
  if (time)
    return withClient(options, async (client, locks) => {
      checkRegion(client.config, '--to', to);
      const schedules: string[] = [];
      for (const { name: lock } of locks)
        schedules.push(await client.schedule({ lock, to, reason, by }, time));
      if (json) console.log(JSON.stringify({ schedules }));
      else for (const id of schedules) console.log(`scheduled: ${id}`);
      return 0;
    });
  return withClient(options, async (client, locks) => {
    checkRegion(client.config, '--to', to);
    const switches = await Promise.all(
      locks.map(({ name: lock }) =>
        switchLock(client, {
          lock,
          to,
          reason,
          by,
          ...(timeout !== undefined && { timeoutMs: Number(timeout) * 1000 }),
          onStep: (line) => console.error(`${lock}: ${line}`),
        }),
      ),
    );
    if (json) console.log(JSON.stringify({ switches }));
    else for (const each of switches) print(each);
    return switches.every(({ outcome }) => outcome === 'done' || outcome === 'already-active') ? 0 : 1;
  });
}

/** One lock that fails must not hide what became of the others. */
async function switchLock(client: BatonClient, options: SwitchOptions): Promise<LockSwitch> {
  const { lock } = options;
  const switchId = randomUUID();
  try {
    return { lock, ...(await client.switchTo({ ...options, switchId })) };
  } catch (error) {
    if (!isExpected(error)) throw error;
    const outcome = error instanceof UnsettledError ? 'unsettled' : 'not-done';
    const steps = error instanceof NotSwitchedError ? error.steps : [];
    return { lock, switchId, outcome, why: error.message, receipt: null, steps };
  }
}

function print({ lock, outcome, why, receipt }: LockSwitch): void {
  if (receipt) console.log(receiptText(receipt));
  else if (outcome === 'already-active') console.log(why);
  else console.error(`baton: ${lock} was not switched: ${why}`);
}
