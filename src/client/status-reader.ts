import type { Config, LockSettings } from '../config/config';
import { isExpected } from './expected-error';
import { type LockReading, type LockStatus, lockStatus, type WorkflowReading } from './lock-status';
import { type RegionWorkflows, WorkflowsAwayError } from './region-workflows';
import type { Servers } from './servers';

export interface StatusReport {
  locks: LockStatus[];
  /** Why Temporal could not be asked, naming its address. */
  temporalAway: string | null;
}

/** What etcd and the workflows say of these locks. A server that is away is part of the report. */
export async function readStatus(config: Config, servers: Servers, locks: string[]): Promise<StatusReport> {
  const regions = config.regions.map(({ name }) => name);
  const workflows = await connected(servers);
  const statuses = await Promise.all(
    locks.map(async (lock) => {
      const [reading, ...said] = await Promise.all([
        readLock(servers, lock),
        ...regions.map(async (region) => ({ region, reading: await askWorkflow(workflows, lock, region) })),
      ]);
      return { status: lockStatus(lock, reading, said, preferenceOf(config, lock)), said };
    }),
  );
  // One sentence for all: it is the same server that did not answer.
  const away = statuses
    .flatMap(({ said }) => said)
    .find(({ reading }) => typeof reading === 'object' && 'away' in reading);
  const temporalAway = away === undefined ? null : (away.reading as { away: string }).away;
  return { locks: statuses.map(({ status }) => status), temporalAway };
}

const preferenceOf = (config: Config, lock: string): LockSettings['preference'] | undefined =>
  config.locks.find(({ name }) => name === lock)?.preference;

type Connected = RegionWorkflows | { away: string };

async function connected(servers: Servers): Promise<Connected> {
  try {
    return await servers.workflows();
  } catch (error) {
    if (error instanceof WorkflowsAwayError) return { away: error.message };
    throw error;
  }
}

async function readLock(servers: Servers, lock: string): Promise<LockReading> {
  try {
    const view = await (await servers.store(lock)).read();
    const leases = await servers.leaseReader();
    return { view, ttlLeftMs: view.holder === null ? null : await leases.ttlLeftMs(view.holder.leaseId) };
  } catch (error) {
    if (!isExpected(error)) throw error;
    return { away: error.message };
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
