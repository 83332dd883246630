import type { ForceDone } from '../client/baton-client';
import { checkRegion } from './chosen-locks';
import {
  type CommandSpec,
  configOption,
  jsonOption,
  type Options,
  runParsed,
  UsageError,
} from './command-line';
import { forEachLock, lockOption, whoAmI, whoOptions, withClient } from './operator-command';
import { receiptText } from './receipt-text';

const spec = {
  name: 'force',
  summary: 'take the lock from a holder that does not answer',
  options: {
    to: { value: 'REGION', required: true, help: 'the region to become active' },
    ...whoOptions,
    ...lockOption,
    now: { help: "do not wait for the old holder's deadline; needs --accept-duplicates" },
    'accept-duplicates': { help: 'with --now: two regions may work at the same time for a while' },
    ...configOption,
    ...jsonOption,
  },
  notes:
    'The old holder cannot extend its lease any more; nobody starts before its deadline has passed, one TTL and a second\nat most. With --now nobody waits: messages that it still works on may be processed twice, and the receipt says so.\nWith\nregions.<region>.managementUrl the broker closes its connections at once. For a holder that answers use baton switch.',
} as const satisfies CommandSpec;

export const run = (argv: string[]): Promise<number> => runParsed(spec, argv, work);

async function work(options: Options<typeof spec>): Promise<number> {
  const { to, reason, by = whoAmI(), now, json } = options;
  const acceptDuplicates = options['accept-duplicates'];
  if (now && !acceptDuplicates)
    throw new UsageError(
      '--now lets two regions work at the same time until the old holder stops, and messages may be processed twice: it needs --accept-duplicates',
    );
  if (acceptDuplicates && !now) throw new UsageError('--accept-duplicates is for --now only');
  return withClient(options, async (client, locks) => {
    checkRegion(client.config, '--to', to);
    type Outcome = { lock: string; why: string } & (ForceDone | { receipt: null; broker: null });
    const forced = await forEachLock<Outcome>(
      locks,
      async (lock) => ({
        lock,
        why: '',
        ...(await client.force({ lock, to, reason, by, acceptDuplicates })),
      }),
      (lock, why) => ({ lock, why, receipt: null, broker: null }),
    );
    if (json) console.log(JSON.stringify({ forced }));
    else
      for (const { lock, why, receipt, broker } of forced)
        if (receipt) console.log(receiptText(receipt, [['broker', broker?.why ?? 'was not asked']]));
        else console.error(`baton: ${lock}: ${why}`);
    return forced.every(({ receipt }) => receipt?.to?.region === to) ? 0 : 1;
  });
}
