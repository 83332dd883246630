import { setTimeout as sleep } from 'node:timers/promises';
import { Client, Connection } from '@temporalio/client';
import { startDevStack, type DevStack } from '../dev/dev-stack';
import { regionWorkflowId } from '../../workflows/contract';
import type { BenchContext } from './bench';
import type { Figures } from './cost-figures';
import { CostFleet } from './cost-fleet';
import { regions } from './pod-fleet';

const startLimitMs = 60_000;
const pollMs = 1_000;
/** The server's shortest timer. */
const fastBeatMs = 1_000;

export interface Beat {
  events: number;
  seconds: number;
  eventsPerHour: number;
}

interface Entry {
  atMs: number;
  /** Of an activity that was scheduled, else empty. */
  activity: string;
}

/**
 * The whole beats since `since` (ms since 1970) in these workflows' histories: from one renewLease to the next,
 * so that a window that cuts a beat in two does not count. `3,600 × events / seconds` of each is its events/h.
 */
export async function beatsOf(address: string, workflowIds: string[], since: number): Promise<Beat[]> {
  return withClient(address, async (client) => {
    const beats: Beat[] = [];
    for (const id of workflowIds) {
      const entries = (await entriesOf(client, id)).filter(({ atMs }) => atMs >= since);
      beats.push(...cycles(entries, ({ activity }) => activity === 'renewLease'));
    }
    return beats;
  });
}

/**
 * A fleet of one lock with beats as fast as they can be, beside the others and with servers of its own: until its
 * active region's workflow has continued as new by its own policy, and its standby's has renewed `awaitTenure`.
 */
export class ContinuedRun {
  private constructor(
    private readonly servers: DevStack,
    private readonly fleet: CostFleet,
    private readonly firstRunId: string,
  ) {}

  /** `historyLimit`: the workflow's setting, its default when left out. */
  static async start(context: BenchContext, historyLimit: number | undefined): Promise<ContinuedRun> {
    const { stack, folder, signal } = context;
    // Of its own, as etcd's and Temporal's counters are the others' figures.
    const servers = await startDevStack({ servers: ['etcd', 'temporal'] });
    const fleet = new CostFleet({
      id: 'cost-history',
      locks: 1,
      stack: servers,
      rabbitmqUrl: stack.rabbitmqUrl,
      folder,
      lockSettings: { beatMs: fastBeatMs, ...(historyLimit === undefined ? {} : { historyLimit }) },
      signal,
    });
    try {
      if ((await fleet.start(startLimitMs)) === null)
        throw new Error('the fleet with fast beats did not start');
      const [id] = fleet.activeWorkflows(fleet.locks);
      const runId = await withClient(servers.temporalAddress, async (client) => {
        return (await client.workflow.getHandle(id!).describe()).runId;
      });
      return new ContinuedRun(servers, fleet, runId);
    } catch (error) {
      fleet.stop();
      await servers.stop();
      throw error;
    }
  }

  /** Waits until then for the first run's end. @returns notes on what was not seen. */
  async finish(figures: Figures, variant: string, limitMs: number, signal: AbortSignal): Promise<string[]> {
    const giveUpAt = performance.now() + limitMs;
    const [active] = this.fleet.activeWorkflows(this.fleet.locks);
    const standby = regionWorkflowId(this.fleet.queue, regions[1]);
    return withClient(this.servers.temporalAddress, async (client) => {
      const notes: string[] = [];
      for (;;) {
        const run = await client.workflow.getHandle(active!, this.firstRunId).describe();
        const { historyLength, historySize } = run;
        if (run.status.name === 'CONTINUED_AS_NEW') {
          figures.add(`at continue-as-new, ${variant}`, 'baton', 'events', historyLength);
          if (historySize) figures.add(`at continue-as-new, ${variant}`, 'baton', 'KB', historySize / 1024);
          break;
        }
        if (performance.now() > giveUpAt) {
          notes.push(
            `History at continue-as-new (${variant}): not reached, the run had ${historyLength} events.`,
          );
          break;
        }
        await sleep(pollMs, undefined, { signal });
      }
      const waits = cycles(await entriesOf(client, standby), ({ activity }) => activity === 'awaitTenure');
      const whole = waits.filter(({ seconds }) => seconds > 60);
      for (const { eventsPerHour } of whole)
        figures.add('standby region, one pod, per lock', 'baton', 'events/h', eventsPerHour);
      if (whole.length === 0)
        notes.push(
          'Standby region: it writes nothing between two awaitTenure, and the run was shorter than one (5 min).',
        );
      return notes;
    });
  }

  /** Idempotent. */
  async stop(): Promise<void> {
    this.fleet.stop();
    await this.servers.stop();
  }
}

async function withClient<T>(address: string, use: (client: Client) => Promise<T>): Promise<T> {
  const connection = await Connection.connect({ address });
  try {
    return await use(new Client({ connection, namespace: 'default' }));
  } finally {
    await connection.close();
  }
}

async function entriesOf(client: Client, workflowId: string): Promise<Entry[]> {
  const { events } = await client.workflow.getHandle(workflowId).fetchHistory();
  return (events ?? []).map((event) => ({
    atMs: Number(event.eventTime?.seconds ?? 0) * 1000 + (event.eventTime?.nanos ?? 0) / 1e6,
    activity: event.activityTaskScheduledEventAttributes?.activityType?.name ?? '',
  }));
}

/** What lies between each entry that begins a cycle and the next such. */
function cycles(entries: Entry[], begins: (entry: Entry) => boolean): Beat[] {
  const starts = entries.flatMap((entry, index) => (begins(entry) ? [index] : []));
  return starts.slice(1).map((end, index) => {
    const start = starts[index]!;
    const seconds = (entries[end]!.atMs - entries[start]!.atMs) / 1000;
    const events = end - start;
    return { events, seconds, eventsPerHour: (3_600 * events) / seconds };
  });
}
