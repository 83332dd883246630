/** `npm run torture`: breaks a real Baton at random, and has what happened checked from the outside. */
import { setMaxListeners } from 'node:events';
import { UsageError } from '../cli/command-line';
import { Interruption } from '../demo/interruption';
import { parseTortureOptions } from './torture-options';
import { failed, tortureJson, tortureText } from './torture-report';
import { tortureRun } from './torture-run';

/** @returns the exit code; nothing is left behind by then but the folder of the run, where it is named. */
export async function runTorture(argv: string[]): Promise<number> {
  const options = parseTortureOptions(argv);
  if ('help' in options) {
    console.log(options.help);
    return 0;
  }
  const interruption = new Interruption();
  setMaxListeners(0, interruption.signal);
  const began = performance.now();
  const say = (line: string): void => {
    const at = ((performance.now() - began) / 1000).toFixed(1);
    process.stderr.write(`torture ${at.padStart(7)} s: ${line}\n`);
  };
  try {
    const result = await tortureRun(options, say, interruption.signal);
    const output = options.json ? process.stderr : process.stdout;
    output.write(`\n${tortureText(result)}\n`);
    if (options.json) process.stdout.write(`${tortureJson(result)}\n`);
    return failed(result) ? 1 : 0;
  } catch (error) {
    if (error instanceof UsageError) throw error;
    const reason: unknown = interruption.signal.aborted ? interruption.signal.reason : error;
    say(reason instanceof Error ? (reason.stack ?? reason.message) : String(reason));
    return interruption.exitCode ?? 1;
  } finally {
    interruption.dispose();
  }
}

if (require.main === module) {
  void runTorture(process.argv.slice(2))
    .catch((error: unknown) => {
      console.error(error instanceof UsageError ? `torture: ${error.message}` : error);
      return error instanceof UsageError ? 2 : 1;
    })
    .then((code) => process.stdout.write('', () => process.exit(code)));
}
