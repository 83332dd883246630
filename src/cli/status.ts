import { setTimeout as sleep } from 'node:timers/promises';
import type { LeaseReader } from '../client/lease-reader';
import { type LockReading, type LockStatus, lockStatus, type WorkflowReading } from '../client/lock-status';
import { type RegionWorkflows, WorkflowsAwayError } from '../client/region-workflows';
import type { Config, LockSettings } from '../config/config';
import type { LockStore } from '../pod/lock-store';
import { chosenLocks } from './chosen-locks';
import { type CommandSpec, configOption, jsonOption, parseCommand } from './command-line';
import { asCommandError, loadOperatorConfig, Servers } from './servers';
import { statusText } from './status-text';

const spec = {
  name: 'status',
  summary: 'show who holds each lock, since when, and why',
  options: {
    lock: { value: 'LOCK', multiple: true, help: 'only this lock (default: all)' },
    watch: { help: 'show it again every second until Ctrl-C' },
    ...configOption,
    ...jsonOption,
  },
  notes:
    "Holder, token and candidates are etcd's word; phase and reasons are the workflows'.\nExit code 1 when etcd does not answer.",
} as const satisfies CommandSpec;

const watchPauseMs = 1000;

export interface StatusReport {
  locks: LockStatus[];
  /** Why Temporal could not be asked, naming its address. */
  temporalAway: string | null;
}

export async function run(argv: string[]): Promise<number> {
  const options = parseCommand(spec, argv);
  if ('help' in options) {
    console.log(options.help);
    return 0;
  }
  const config = await loadOperatorConfig(options);
  const locks = chosenLocks(config, options.lock);
  const servers = new Servers(config);
  try {
    const stores = await servers.lockStores(locks.map(({ name }) => name));
    const leases = await servers.leaseReader();
    let workflows = await connected(servers);
    for (;;) {
      const report = await readStatus(config, locks, stores, leases, workflows);
      if (options.json) console.log(JSON.stringify(report));
      else {
        if (options.watch && process.stdout.isTTY) process.stdout.write('\u001b[H\u001b[2J');
        console.log(statusText(report, Date.now()));
      }
      if (!options.watch) return report.locks.some(({ etcdAway }) => etcdAway !== null) ? 1 : 0;
      await sleep(watchPauseMs);
      if ('away' in workflows) workflows = await connected(servers);
    }
  } finally {
    await servers.close();
  }
}

type Connected = RegionWorkflows | { away: string };

async function connected(servers: Servers): Promise<Connected> {
  try {
    return await servers.workflows();
  } catch (error) {
    if (error instanceof WorkflowsAwayError) return { away: error.message };
    throw asCommandError(error);
  }
}

async function readStatus(
  config: Config,
  locks: LockSettings[],
  stores: LockStore[],
  leases: LeaseReader,
  workflows: Connected,
): Promise<StatusReport> {
  const regions = config.regions.map(({ name }) => name);
  const statuses = await Promise.all(
    locks.map(async ({ name }, index) => {
      const [reading, ...said] = await Promise.all([
        readLock(stores[index]!, leases),
        ...regions.map(async (region) => ({ region, reading: await askWorkflow(workflows, name, region) })),
      ]);
      return { status: lockStatus(name, reading, said), said };
    }),
  );
  // One sentence for all: it is the same server that did not answer.
  const away = statuses
    .flatMap(({ said }) => said)
    .find(({ reading }) => typeof reading === 'object' && 'away' in reading);
  const temporalAway = away === undefined ? null : (away.reading as { away: string }).away;
  return { locks: statuses.map(({ status }) => status), temporalAway };
}

async function readLock(store: LockStore, leases: LeaseReader): Promise<LockReading> {
  try {
    const view = await store.read();
    return { view, ttlLeftMs: view.holder === null ? null : await leases.ttlLeftMs(view.holder.leaseId) };
  } catch (error) {
    if (asCommandError(error) === error) throw error;
    return { away: (error as Error).message };
  }
}

async function askWorkflow(workflows: Connected, lock: string, region: string): Promise<WorkflowReading> {
  if ('away' in workflows) return workflows;
  try {
    return await workflows.status(lock, region);
  } catch (error) {
    if (error instanceof WorkflowsAwayError) return { away: error.message };
    throw error;
  }
}
