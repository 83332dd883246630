import { setTimeout as sleep } from 'node:timers/promises';
import { type CommandSpec, configOption, jsonOption, type Options, runParsed } from './command-line';
import { lockOption, withClient } from './operator-command';
import { statusText } from './status-text';

const spec = {
  name: 'status',
  summary: 'show who holds each lock, since when, and why',
  options: {
    ...lockOption,
    watch: { help: 'show it again every second until Ctrl-C' },
    ...configOption,
    ...jsonOption,
  },
  notes:
    "Holder, token and candidates are etcd's word; phase and reasons are the workflows'.\nExit code 1 when etcd does not answer.",
} as const satisfies CommandSpec;

const watchPauseMs = 1000;

export const run = (argv: string[]): Promise<number> => runParsed(spec, argv, work);

async function work(options: Options<typeof spec>): Promise<number> {
  return withClient(options, async (client, locks) => {
    for (;;) {
      const report = await client.status(locks.map(({ name }) => name));
      if (options.json) console.log(JSON.stringify(report));
      else {
        if (options.watch && process.stdout.isTTY) process.stdout.write('\u001b[H\u001b[2J');
        console.log(statusText(report, Date.now()));
      }
      if (!options.watch) return report.locks.some(({ etcdAway }) => etcdAway !== null) ? 1 : 0;
      await sleep(watchPauseMs);
    }
  });
}
