import type { PayloadEncryption } from '../config/config';
import { CommandError, type CommandSpec, jsonOption, type Options, runParsed } from './command-line';
import { counted } from './table';

const spec = {
  name: 'replay',
  summary: 'replay saved histories against this version',
  argument: { value: 'DIR', help: 'what baton export-histories has saved' },
  options: {
    config: {
      value: 'FILE',
      help: 'whose temporal.encryption opens encrypted histories (default: BATON_CONFIG, else none)',
    },
    ...jsonOption,
  },
  notes:
    'Needs no server. Exit code 1 when this version would decide otherwise than a recorded one, or nothing is there:\n' +
    'workflows that run now would begin again (regions) or come to a halt under it.',
} as const satisfies CommandSpec;

export const run = (argv: string[]): Promise<number> => runParsed(spec, argv, work);

async function work(options: Options<typeof spec>): Promise<number> {
  const { argument: folder = '', json } = options;
  const [{ readHistories }, { replayHistories }] = await Promise.all([
    import('../temporal/history-archive.js'),
    import('../temporal/replay.js'),
  ]);
  const encryption = await encryptionOf(options.config);
  const archived = await readHistories(folder).catch((error: Error) => {
    throw new CommandError(error.message, { cause: error });
  });
  if (archived.length === 0) throw new CommandError(`there is no history in ${folder}`);
  const results = await replayHistories(
    archived,
    undefined,
    ({ file, problem }) => {
      if (!json) console.log(problem === null ? `ok      ${file}` : `FAILED  ${file}: ${problem}`);
    },
    encryption,
  );
  const failed = results.filter(({ problem }) => problem !== null).length;
  if (json) console.log(JSON.stringify({ replays: results }));
  else console.log(`${counted(results.length, 'history', 'histories')} replayed, ${failed} failed`);
  return failed === 0 && results.length === archived.length ? 0 : 1;
}

/** A machine that only replays needs no configuration. */
async function encryptionOf(
  file = process.env.BATON_CONFIG || undefined,
): Promise<PayloadEncryption | undefined> {
  if (file === undefined) return undefined;
  const { loadConfig } = await import('../config/load-config.js');
  return loadConfig({ file, env: process.env, cwd: process.cwd(), checkHandlers: false }).temporal.encryption;
}
