import { readdirSync, readFileSync } from 'node:fs';
import { Client, Connection } from '@temporalio/client';
import { regionWorkflowId } from '../../workflows/contract';
import { type PodFleet, regions } from '../bench/pod-fleet';
import { pidsWithEnvironment } from '../dev/process-state';
import type { DevStack } from '../dev/dev-stack';

const answerLimitMs = 20_000;
const dayLeaseSeconds = 86_400;
export const dayLeases = 'etcd leases of a day';

/** One look at everything that could leak, by the name of what was counted. */
export interface Reading {
  /** Since the soak began. */
  atMs: number;
  values: Record<string, number>;
}

/**
 * Counts from outside what Baton's processes keep: by the kernel, etcd, RabbitMQ's management page and Temporal.
 * Asks none of the processes that it measures.
 */
export class LeakMeters {
  private constructor(
    private readonly stack: DevStack,
    private readonly temporal: Connection,
  ) {}

  /** The stack must have started its own etcd, and RabbitMQ with its management page. */
  static async connect(stack: DevStack): Promise<LeakMeters> {
    return new LeakMeters(stack, await Connection.connect({ address: stack.temporalAddress }));
  }

  async read(fleet: PodFleet): Promise<Record<string, number>> {
    const [servers, histories] = await Promise.all([this.readServers(), this.histories(fleet.locks)]);
    return { ...readPods(fleet), ...servers, ...histories };
  }

  /** What the servers keep for their clients. */
  async readServers(): Promise<Record<string, number>> {
    const [leases, keys, metrics, broker] = await Promise.all([
      this.leases(),
      this.keys(),
      this.etcdMetrics(),
      this.brokerTotals(),
    ]);
    return { ...leases, 'etcd keys without receipts': keys, ...metrics, ...broker };
  }

  /** Runs that ended by continuing as new. */
  async continuedRuns(): Promise<number> {
    const client = new Client({ connection: this.temporal, namespace: 'default' });
    return (await client.workflow.count('ExecutionStatus = "ContinuedAsNew"')).count;
  }

  async close(): Promise<void> {
    await this.temporal.close();
  }

  /** Those that count redelivered messages are shared and last a day; all others belong to somebody who is there. */
  private async leases(): Promise<Record<string, number>> {
    const { leases = [] } = await this.askEtcd<{ leases?: { ID: string }[] }>('lease/leases', {});
    const granted = await Promise.all(
      leases.map(({ ID }) => this.askEtcd<{ grantedTTL?: string }>('lease/timetolive', { ID })),
    );
    // One that has run out meanwhile has none.
    const seconds = granted.map(({ grantedTTL }) => Number(grantedTTL ?? 0)).filter((ttl) => ttl > 0);
    const daily = seconds.filter((ttl) => ttl >= dayLeaseSeconds).length;
    return { 'etcd leases': seconds.length - daily, [dayLeases]: daily };
  }

  private async keys(): Promise<number> {
    const base64 = (text: string): string => Buffer.from(text).toString('base64');
    // The end of a prefix is the prefix with its last byte one higher.
    const range = { key: base64('/baton'), range_end: base64('/batoo'), keys_only: true };
    const { kvs = [] } = await this.askEtcd<{ kvs?: { key: string }[] }>('kv/range', range);
    return kvs.filter(({ key }) => !Buffer.from(key, 'base64').toString().includes('/receipts/')).length;
  }

  /** Over etcd's gateway for JSON. */
  private async askEtcd<T>(method: string, request: object): Promise<T> {
    const response = await fetch(`http://${this.stack.etcdAddresses[0]}/v3/${method}`, {
      method: 'POST',
      body: JSON.stringify(request),
      signal: AbortSignal.timeout(answerLimitMs),
    });
    return (await response.json()) as T;
  }

  private async etcdMetrics(): Promise<Record<string, number>> {
    const pages = await Promise.all(
      this.stack.etcdAddresses.map(async (address) => {
        const signal = AbortSignal.timeout(answerLimitMs);
        return (await fetch(`http://${address}/metrics`, { signal })).text();
      }),
    );
    const lines = pages.flatMap((page) => page.split('\n'));
    const sum = (metric: string, label = ''): number =>
      lines
        .filter((line) => line.startsWith(metric) && line.includes(label))
        .reduce((total, line) => total + Number(line.slice(line.lastIndexOf(' ') + 1)), 0);
    const open = (method: string): number =>
      sum('grpc_server_started_total{', `grpc_method="${method}"`) -
      sum('grpc_server_handled_total{', `grpc_method="${method}"`);
    return {
      'etcd watchers': sum('etcd_debugging_mvcc_watcher_total '),
      'etcd watch streams': sum('etcd_debugging_mvcc_watch_stream_total '),
      'etcd open watch calls': open('Watch'),
    };
  }

  private async brokerTotals(): Promise<Record<string, number>> {
    const { managementUrl } = this.stack.rabbitmq;
    const response = await fetch(`${managementUrl}/api/overview`, {
      headers: { authorization: `Basic ${Buffer.from('guest:guest').toString('base64')}` },
      signal: AbortSignal.timeout(answerLimitMs),
    });
    const { object_totals: totals } = (await response.json()) as { object_totals: Record<string, number> };
    return Object.fromEntries(
      ['connections', 'channels', 'consumers', 'queues'].map((name) => [
        `RabbitMQ ${name}`,
        totals[name] ?? 0,
      ]),
    );
  }

  private async histories(locks: string[]): Promise<Record<string, number>> {
    const client = new Client({ connection: this.temporal, namespace: 'default' });
    const ids = locks.flatMap((lock) => regions.map((region) => regionWorkflowId(lock, region)));
    const lengths = await Promise.all(
      ids.map(async (id) => (await client.workflow.getHandle(id).describe()).historyLength),
    );
    const { count } = await client.workflow.count('ExecutionStatus = "Running"');
    return { 'open workflows': count, 'longest history': Math.max(...lengths) };
  }
}

/** The pods' processes of their present boot, also those that their logs do not name. */
export const countProcesses = (fleet: PodFleet): number =>
  fleet.pods.reduce((sum, pod) => sum + pidsWithEnvironment(pod.environmentMark).length, 0);

function readPods(fleet: PodFleet): Record<string, number> {
  const values: Record<string, number> = { processes: countProcesses(fleet) };
  for (const pod of fleet.pods.filter(({ pid }) => pid !== undefined)) {
    for (const { role, pid } of fleet.processesOf(pod)) {
      const reading = readProcess(pid);
      if (!reading) continue;
      const { memoryMb, descriptors, threads } = reading;
      // A spare lives only as long as a tenure, and what it had becomes the next listener's.
      if (role === 'baton spare') continue;
      const name = role.replace('baton ', '');
      values[`${name} memory, ${pod.name}`] = memoryMb;
      values[`${name} threads`] = (values[`${name} threads`] ?? 0) + threads;
      values[`${name} descriptors`] = (values[`${name} descriptors`] ?? 0) + descriptors;
    }
  }
  return values;
}

/** `null` when it is gone. */
function readProcess(pid: number): { memoryMb: number; descriptors: number; threads: number } | null {
  try {
    const status = readFileSync(`/proc/${pid}/status`, 'utf8');
    const field = (name: string): number =>
      Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(status)?.[1] ?? Number.NaN);
    // Anonymous pages only: how much of Node's own code is resident depends on what else the machine runs.
    return {
      memoryMb: field('RssAnon') / 1024,
      descriptors: readdirSync(`/proc/${pid}/fd`).length,
      threads: field('Threads'),
    };
  } catch {
    return null;
  }
}
