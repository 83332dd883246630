import { closestName } from '../config/closest-name';
import { ConfigError } from '../config/config-error';
import { maskSecrets } from '../config/secret';
import { CommandError, UsageError } from './command-line';

/** What brings an operator to a command, in the order of the help. */
const groups = {
  try: 'try it',
  run: 'run it',
  look: 'look, and change nothing',
  switch: 'change the active region',
  trouble: 'when something is wrong',
  record: 'records and upgrades',
};

interface Command {
  group: keyof typeof groups;
  summary: string;
  /** Resolves to the exit code. Loaded when called: Temporal's and etcd's clients take half a second. */
  run(argv: string[]): Promise<number>;
}

const commands: Record<string, Command> = {
  worker: {
    group: 'run',
    summary: 'run one pod: compete for the locks of a region and consume while holding them',
    run: async (argv) => (await import('./worker.js')).run(argv),
  },
  start: {
    group: 'run',
    summary: 'start the workflows of a region, once however often it is called',
    run: async (argv) => (await import('./start.js')).run(argv),
  },
  switch: {
    group: 'switch',
    summary: 'make another region active, and wait for the receipt',
    run: async (argv) => (await import('./switch.js')).run(argv),
  },
  status: {
    group: 'look',
    summary: 'show who holds each lock, since when, and why',
    run: async (argv) => (await import('./status.js')).run(argv),
  },
  verify: {
    group: 'look',
    summary: 'compare what etcd, the workflows, the pods and the brokers say',
    run: async (argv) => (await import('./verify.js')).run(argv),
  },
  doctor: {
    group: 'run',
    summary: 'check versions, clocks, round trips, permissions, queues and the timing budget',
    run: async (argv) => (await import('./doctor.js')).run(argv),
  },
  dashboard: {
    group: 'look',
    summary: 'a page that shows every lock, live',
    run: async (argv) => (await import('./dashboard.js')).run(argv),
  },
  'codec-server': {
    group: 'look',
    summary: 'decrypt payloads for the Temporal UI and CLI',
    run: async (argv) => (await import('./codec-server.js')).run(argv),
  },
  why: {
    group: 'look',
    summary: 'why a region is, or is not, ready to take over',
    run: async (argv) => (await import('./why.js')).run(argv),
  },
  abort: {
    group: 'switch',
    summary: 'undo the switch under way',
    run: async (argv) => (await import('./abort.js')).run(argv),
  },
  approve: {
    group: 'switch',
    summary: 'let a switch go on that waits for an approval',
    run: async (argv) => (await import('./approve.js')).run('approve', argv),
  },
  veto: {
    group: 'switch',
    summary: 'end a switch that waits for an approval',
    run: async (argv) => (await import('./approve.js')).run('veto', argv),
  },
  group: {
    group: 'switch',
    summary: 'switch several locks together: all of them, or none',
    run: async (argv) => (await import('./group.js')).run(argv),
  },
  drill: {
    group: 'switch',
    summary: 'a planned switch and back, or a killed holder, with the recovery measured',
    run: async (argv) => (await import('./drill.js')).run(argv),
  },
  schedule: {
    group: 'switch',
    summary: 'list or cancel scheduled switches and drills',
    run: async (argv) => (await import('./schedule.js')).run(argv),
  },
  force: {
    group: 'trouble',
    summary: 'take the lock from a holder that does not answer',
    run: async (argv) => (await import('./force.js')).run(argv),
  },
  history: {
    group: 'look',
    summary: 'every change of holder, of all regions, in one timeline',
    run: async (argv) => (await import('./history.js')).run(argv),
  },
  audit: {
    group: 'record',
    summary: 'find a changed or missing line in an audit record: baton audit verify FILE',
    run: async (argv) => (await import('./audit.js')).run(argv),
  },
  'export-histories': {
    group: 'record',
    summary: 'save the histories of all runs that Temporal still has',
    run: async (argv) => (await import('./export-histories.js')).run(argv),
  },
  replay: {
    group: 'record',
    summary: 'replay saved histories against this version',
    run: async (argv) => (await import('./replay.js')).run(argv),
  },
  top: {
    group: 'look',
    summary: 'every lock, live, in the terminal',
    run: async (argv) => (await import('./top.js')).run(argv),
  },
  pause: {
    group: 'trouble',
    summary: 'no takeover and no switch until baton resume',
    run: async (argv) => (await import('./marks.js')).run('pause', argv),
  },
  resume: {
    group: 'trouble',
    summary: 'end baton pause',
    run: async (argv) => (await import('./marks.js')).run('resume', argv),
  },
  ack: {
    group: 'trouble',
    summary: 'allow automatic changes of region again',
    run: async (argv) => (await import('./marks.js')).run('ack', argv),
  },
  cordon: {
    group: 'trouble',
    summary: 'take a region out of service',
    run: async (argv) => (await import('./marks.js')).run('cordon', argv),
  },
  uncordon: {
    group: 'trouble',
    summary: 'end baton cordon',
    run: async (argv) => (await import('./marks.js')).run('uncordon', argv),
  },
  init: {
    group: 'try',
    summary: 'write a starter project: configuration, handler, compose file, tests',
    run: async (argv) => (await import('./init.js')).run(argv),
  },
  demo: {
    group: 'try',
    summary: 'two regions, switches and kills under load, with a checked result',
    run: async (argv) => (await import('../demo/main.js')).runDemo(argv),
  },
  dev: {
    group: 'try',
    summary: "keep the demo's system up until Ctrl-C",
    run: async (argv) => (await import('../demo/dev.js')).runDev(argv),
  },
};

const linesOf = (group: string): string =>
  Object.entries(commands)
    .filter(([, command]) => command.group === group)
    .map(([name, { summary }]) => `  ${name.padEnd(18)}${summary}`)
    .join('\n');

const help = `baton: one active region for queue consumers that run in several

usage: baton <command> [options]

${Object.entries(groups)
  .map(([group, title]) => `${title}:\n${linesOf(group)}\n`)
  .join('\n')}
baton <command> --help shows its options; baton --version the version. The configuration is --config FILE, else
BATON_CONFIG, else ./baton.yaml. With --json a command prints one line for programs.

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
