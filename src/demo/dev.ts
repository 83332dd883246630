/** `baton dev`: the demo's system, kept up until Ctrl-C for trying things out. */
import { type CommandSpec, type Options, runParsed } from '../cli/command-line';
import { DemoSystem } from './demo-system';
import { Interruption } from './interruption';
import { count } from './live-view';

const RESTART_MS = 8_000;

const spec = {
  name: 'dev',
  summary: "keep the demo's system up until Ctrl-C",
  options: {
    rate: { value: 'N', whole: { min: 0, max: 5_000 }, help: 'messages per second (default 20; 0: none)' },
    ttl: { value: 'SECONDS', whole: { min: 2, max: 60 }, help: 'TTL of the lease (default 5)' },
  },
  notes: `Prints each change of holder as it happens. A pod that is killed is started again after ${RESTART_MS / 1000} s.`,
} as const satisfies CommandSpec;

/** @returns the exit code; nothing is left behind by then. Ctrl-C is how it ends well. */
export const runDev = (argv: string[]): Promise<number> => runParsed(spec, argv, work);

async function work(options: Options<typeof spec>): Promise<number> {
  const rate = Number(options.rate ?? 20);
  const interruption = new Interruption();
  let system: DemoSystem | undefined;
  const say = (line: string): void => console.log(`${new Date().toISOString().slice(11, 23)}  ${line}`);
  try {
    system = await DemoSystem.start({
      leaseTtlMs: Number(options.ttl ?? 5) * 1000,
      say,
      // Killed by hand, most likely: that is what this command is for. Whatever runs containers starts them again.
      onPodExit: (pod, how) => {
        say(`${pod.name} ended ${how}; it is started again in ${RESTART_MS / 1000} s`);
        setTimeout(() => !interruption.signal.aborted && pod.start(), RESTART_MS).unref();
      },
      onHolder: ({ holder, last }) => {
        const why = last ? `${last.receipt.cause}: ${last.receipt.why}` : 'no receipt';
        say(`${holder?.region}/${holder?.pod} is active with token ${holder?.token} (${why})`);
      },
      signal: interruption.signal,
    });
    if (rate > 0) system.publisher.start(rate);
    console.log(
      `\n${system.describe()}\n\n${rate} messages a second are being published; Ctrl-C ends everything\n`,
    );
    await interruption.wait();
    say(`stopping; ${count(system.publisher.published.size)} messages were published`);
    return interruption.exitCode ?? 0;
  } catch (error) {
    const reason: unknown = interruption.signal.aborted ? interruption.signal.reason : error;
    console.error(reason instanceof Error ? reason.message : reason);
    return interruption.exitCode ?? 1;
  } finally {
    await system?.stop();
    interruption.dispose();
  }
}
