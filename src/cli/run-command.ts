import { closestName } from '../config/closest-name';
import { ConfigError } from '../config/config-error';
import { maskSecrets } from '../config/secret';
import { CommandError, UsageError } from './command-line';

interface Command {
  summary: string;
  /** Resolves to the exit code. Loaded when called: Temporal's and etcd's clients take half a second. */
  run(argv: string[]): Promise<number>;
}

const commands: Record<string, Command> = {
  worker: {
    summary: 'run one pod: compete for the locks of a region and consume while holding them',
    run: async (argv) => (await import('./worker.js')).run(argv),
  },
  start: {
    summary: 'start the workflows of a region, once however often it is called',
    run: async (argv) => (await import('./start.js')).run(argv),
  },
  switch: {
    summary: 'make another region active, and wait for the receipt',
    run: async (argv) => (await import('./switch.js')).run(argv),
  },
  status: {
    summary: 'show who holds each lock, since when, and why',
    run: async (argv) => (await import('./status.js')).run(argv),
  },
  verify: {
    summary: 'compare what etcd, the workflows, the pods and the brokers say',
    run: async (argv) => (await import('./verify.js')).run(argv),
  },
  doctor: {
    summary: 'check versions, clocks, round trips, permissions, queues and the timing budget',
    run: async (argv) => (await import('./doctor.js')).run(argv),
  },
  dashboard: {
    summary: 'a page that shows every lock, live',
    run: async (argv) => (await import('./dashboard.js')).run(argv),
  },
  'codec-server': {
    summary: 'decrypt payloads for the Temporal UI and CLI',
    run: async (argv) => (await import('./codec-server.js')).run(argv),
  },
  why: {
    summary: 'why a region is, or is not, ready to take over',
    run: async (argv) => (await import('./why.js')).run(argv),
  },
  abort: {
    summary: 'undo the switch under way',
    run: async (argv) => (await import('./abort.js')).run(argv),
  },
  approve: {
    summary: 'let a switch go on that waits for an approval',
    run: async (argv) => (await import('./approve.js')).run('approve', argv),
  },
  veto: {
    summary: 'end a switch that waits for an approval',
    run: async (argv) => (await import('./approve.js')).run('veto', argv),
  },
  group: {
    summary: 'switch several locks together: all of them, or none',
    run: async (argv) => (await import('./group.js')).run(argv),
  },
  drill: {
    summary: 'a planned switch and back, or a killed holder, with the recovery measured',
    run: async (argv) => (await import('./drill.js')).run(argv),
  },
  schedule: {
    summary: 'list or cancel scheduled switches and drills',
    run: async (argv) => (await import('./schedule.js')).run(argv),
  },
  force: {
    summary: 'take the lock from a holder that does not answer',
    run: async (argv) => (await import('./force.js')).run(argv),
  },
  history: {
    summary: 'every change of holder, of all regions, in one timeline',
    run: async (argv) => (await import('./history.js')).run(argv),
  },
  audit: {
    summary: 'find a changed or missing line in an audit record: baton audit verify FILE',
    run: async (argv) => (await import('./audit.js')).run(argv),
  },
  'export-histories': {
    summary: 'save the histories of all runs that Temporal still has',
    run: async (argv) => (await import('./export-histories.js')).run(argv),
  },
  replay: {
    summary: 'replay saved histories against this version',
    run: async (argv) => (await import('./replay.js')).run(argv),
  },
  top: {
    summary: 'every lock, live, in the terminal',
    run: async (argv) => (await import('./top.js')).run(argv),
  },
  pause: {
    summary: 'no takeover and no switch until baton resume',
    run: async (argv) => (await import('./marks.js')).run('pause', argv),
  },
  resume: {
    summary: 'end baton pause',
    run: async (argv) => (await import('./marks.js')).run('resume', argv),
  },
  ack: {
    summary: 'allow automatic changes of region again',
    run: async (argv) => (await import('./marks.js')).run('ack', argv),
  },
  cordon: {
    summary: 'take a region out of service',
    run: async (argv) => (await import('./marks.js')).run('cordon', argv),
  },
  uncordon: {
    summary: 'end baton cordon',
    run: async (argv) => (await import('./marks.js')).run('uncordon', argv),
  },
  demo: {
    summary: 'two regions, switches and kills under load, with a checked result',
    run: async (argv) => (await import('../demo/main.js')).runDemo(argv),
  },
  dev: {
    summary: "keep the demo's system up until Ctrl-C",
    run: async (argv) => (await import('../demo/dev.js')).runDev(argv),
  },
};

const help = `baton: one active region for queue consumers that run in several

usage: baton <command> [options]

${Object.entries(commands)
  .map(([name, { summary }]) => `  ${name.padEnd(18)}${summary}`)
  .join('\n')}
  help              this text; baton <command> --help for one command

Exit codes: 0 done, 1 failed, 2 bad input (nothing was started).`;

async function run([name, ...argv]: string[]): Promise<number> {
  if (name === undefined) {
    console.error(help);
    return 2;
  }
  if (name === '--help' || name === '-h' || name === 'help') {
    const command = Object.hasOwn(commands, argv[0] ?? '') ? commands[argv[0]!] : undefined;
    if (command !== undefined) return command.run(['--help']);
    console.log(help);
    return 0;
  }
  if (name === '--version') {
    console.log((await import('../version.js')).version);
    return 0;
  }
  const command = Object.hasOwn(commands, name) ? commands[name] : undefined;
  if (command !== undefined) return command.run(argv);
  const near = closestName(name, Object.keys(commands));
  throw new UsageError(
    `there is no command ${name}${near === undefined ? ' (baton help)' : `; did you mean ${near}?`}`,
  );
}

function report(error: unknown): number {
  if (error instanceof ConfigError) {
    console.error(`baton: the configuration cannot be used:\n${error.message}`);
    return 2;
  }
  if (error instanceof UsageError || error instanceof CommandError)
    console.error(`baton: ${maskSecrets(error.message)}`);
  // Nobody foresaw this one: where it came from is all there is to go by.
  else
    console.error(
      `baton: ${maskSecrets(error instanceof Error ? (error.stack ?? error.message) : String(error))}`,
    );
  return error instanceof UsageError ? 2 : 1;
}

/** Runs what was typed, prints what came of it, and resolves to the exit code: 0, 1 or 2. Never rejects. */
export const runCommand = (argv: string[]): Promise<number> => run(argv).catch(report);
