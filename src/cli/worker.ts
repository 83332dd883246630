import os from 'node:os';
import type { Config } from '../config/config';
import { ConfigError } from '../config/config-error';
import { namePattern, nameRule } from '../config/schema';
import {
  CommandError,
  type CommandSpec,
  configOption,
  type Options,
  runParsed,
  UsageError,
} from './command-line';
import { compileEagerly, compileLazily } from '../eager-code';
import { chosenLocks } from './chosen-locks';

const spec = {
  name: 'worker',
  summary: 'run one pod: compete for the locks of a region and consume while holding them',
  options: {
    region: { value: 'REGION', help: "this pod's region (default: BATON_REGION)" },
    pod: { value: 'NAME', help: "this pod's name (default: BATON_POD_NAME, else the host's)" },
    lock: { value: 'LOCK', multiple: true, help: 'only this lock (default: all)' },
    'health-port': {
      value: 'PORT',
      whole: { min: 0, max: 65_535 },
      help: 'for /healthz, /readyz, /metrics; 0: any',
    },
    ...configOption,
  },
  notes:
    'SIGTERM or SIGINT drains, hands the locks over and ends the pod; a second one ends it at once.\n' +
    'SIGHUP reads the configuration again and takes over what a running pod can; no lock is given up for it.\n' +
    'Logs are JSON lines on standard output.',
} as const satisfies CommandSpec;

export const run = (argv: string[]): Promise<number> => runParsed(spec, argv, work);

async function work(options: Options<typeof spec>): Promise<number> {
  const region = options.region ?? (process.env.BATON_REGION || undefined);
  if (region === undefined) throw new UsageError('--region REGION must be given, or BATON_REGION set');
  const podName = checkedPodName(options.pod);
  const { loadConfig } = await import('../config/load-config.js');
  const cwd = process.cwd();
  const load = (): Config => {
    const config = loadConfig({
      ...(options.config !== undefined && { file: options.config }),
      env: process.env,
      region,
      cwd,
    });
    config.locks = chosenLocks(config, options.lock);
    if (options['health-port'] !== undefined) config.health.port = Number(options['health-port']);
    return config;
  };
  return runAgent(load, region, podName);
}

async function runAgent(load: () => Config, region: string, podName: string): Promise<number> {
  const config = load();
  // Without Temporal's SDK, which has no part in what must be quick, and twenty times the code.
  compileEagerly();
  await Promise.all([
    import('../etcd/etcd-lock.js'),
    import('../pod/listener-group.js'),
    import('../pod/lock-agent.js'),
  ]);
  compileLazily();
  const [{ Agent }, { stopLimitMs }, { createLogger }, { checkBeforeStart }, notifying] = await Promise.all([
    import('../pod/agent.js'),
    import('../config/stop-limit.js'),
    import('../telemetry/logger.js'),
    import('../doctor/start-check.js'),
    import('../systemd/systemd-notifier.js'),
  ]);
  const { SystemdNotifier, takeNotifyVariables } = notifying;
  const own = config.regions.find(({ name }) => name === region)!;
  const { refused, measured } = await checkBeforeStart(config, own);
  if (refused.length > 0) throw new UsageError(refused.join('\nbaton: '));
  const notify = takeNotifyVariables(process.env, process.pid);
  const agent = new Agent({
    config,
    region,
    podName,
    createLogger: (pod) => createLogger({ region, pod, level: config.logLevel }),
  });
  agent.logger.info({ reason: measured }, 'configuration checked');
  const notifier =
    notify &&
    new SystemdNotifier(agent, { ...notify, stopLimitMs: stopLimitMs(config), logger: agent.logger });
  const stopped = new Promise<void>((resolve, reject) => {
    const stop = (signal: NodeJS.Signals): void => {
      // The listeners watch for their parent's death and end with it; the leases run out.
      process.once('SIGTERM', () => process.exit(1)).once('SIGINT', () => process.exit(1));
      agent.stop(`the pod got ${signal}`).then(resolve, reject);
      notifier?.stop();
    };
    const first = (signal: NodeJS.Signals): void => {
      process.off('SIGTERM', first).off('SIGINT', first);
      stop(signal);
    };
    process.on('SIGTERM', first).on('SIGINT', first);
  });
  process.on('SIGHUP', () => agent.reload(load));
  // Fail-stop: an agent in an unknown state must not extend a lease. Its lock moves on when the lease ends.
  process.on('uncaughtException', (err) => {
    agent.logger.fatal({ err, reason: 'uncaught exception' }, 'pod ends');
    process.exit(1);
  });
  try {
    await agent.start().catch(async (error: Error) => {
      await agent.stop('the pod could not start');
      throw new CommandError(error.message, { cause: error });
    });
    await stopped;
    return 0;
  } finally {
    await notifier?.close();
  }
}

function checkedPodName(given: string | undefined): string {
  const [setting, name] =
    given !== undefined
      ? ['--pod', given]
      : process.env.BATON_POD_NAME
        ? ['BATON_POD_NAME', process.env.BATON_POD_NAME]
        : ["the host's name (give --pod)", os.hostname()];
  if (!namePattern.test(name)) throw new ConfigError([{ setting, value: name, expected: nameRule }]);
  return name;
}
