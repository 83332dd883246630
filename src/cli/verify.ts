import { setTimeout as sleep } from 'node:timers/promises';
import type { Comparison } from '../verify/lock-views';
import { chosenLocks } from './chosen-locks';
import { type CommandSpec, configOption, jsonOption, type Options, runParsed } from './command-line';
import { lockOption } from './operator-command';
import { type Aged, verifyText } from './verify-text';

const spec = {
  name: 'verify',
  summary: 'compare what etcd, the workflows, the pods and the brokers say of each lock',
  options: {
    ...lockOption,
    watch: { help: 'compare again every two seconds until Ctrl-C' },
    ...configOption,
    ...jsonOption,
  },
  notes:
    'Changes nothing. A disagreement is looked at again for ten seconds: a change of holder passes through several.\n' +
    'Brokers are asked where regions.<name>.managementUrl is set.\n' +
    'Exit code 0 when all that are configured agree, 1 when they do not, or one of them could not be asked.',
} as const satisfies CommandSpec;

const watchPauseMs = 2_000;
const againMs = 1_000;
/** A broker's list of consumers is up to five seconds old. */
const settleMs = 10_000;

export const run = (argv: string[]): Promise<number> => runParsed(spec, argv, work);

async function work(options: Options<typeof spec>): Promise<number> {
  const [{ loadConfig }, { Servers }, { readViews }] = await Promise.all([
    import('../config/load-config.js'),
    import('../client/servers.js'),
    import('../verify/view-reader.js'),
  ]);
  const config = loadConfig({
    ...(options.config !== undefined && { file: options.config }),
    env: process.env,
    checkHandlers: false,
    cwd: process.cwd(),
  });
  const locks = chosenLocks(config, options.lock);
  const servers = new Servers(config, (problem) => console.error(`baton: ${problem}`));
  const since = new Map<string, number>();
  const look = (): Promise<Aged[]> =>
    Promise.all(
      locks.map(async (settings) => {
        const comparison = await readViews(config, settings, {
          readLock: async (lock) => (await servers.store(lock)).read(),
          status: async (lock, region) => (await servers.workflows()).status(lock, region),
        });
        return aged(comparison, since);
      }),
    );
  const disagree = (all: Comparison[]): boolean => all.some(({ verdict }) => verdict === 'disagree');
  const show = (all: Aged[]): void => {
    if (options.json) return console.log(JSON.stringify({ locks: all }));
    if (options.watch && process.stdout.isTTY) process.stdout.write('\u001b[H\u001b[2J');
    console.log(verifyText(all));
  };
  try {
    // Loading the clients holds this process up, and so would use up the time that the others have to answer.
    await Promise.allSettled([servers.workflows(), ...locks.map(({ name }) => servers.store(name))]);
    for (;;) {
      let all = await look();
      if (options.watch) {
        show(all);
        await sleep(watchPauseMs);
        continue;
      }
      const giveUpAt = performance.now() + settleMs;
      while (disagree(all) && performance.now() < giveUpAt) {
        await sleep(againMs);
        all = await look();
      }
      show(all);
      return all.every(({ verdict }) => verdict === 'agree') ? 0 : 1;
    }
  } finally {
    await servers.close();
  }
}

/** With the time since the first look in a row that did not agree. */
function aged(comparison: Comparison, since: Map<string, number>): Aged {
  const { lock, verdict } = comparison;
  if (verdict !== 'disagree') since.delete(lock);
  else if (!since.has(lock)) since.set(lock, performance.now());
  const began = since.get(lock);
  return { ...comparison, forMs: began === undefined ? 0 : Math.round(performance.now() - began) };
}
