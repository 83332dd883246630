import type { Config } from '../config/config';
import type { LeaseReader } from '../client/lease-reader';
import type { RegionWorkflows } from '../client/region-workflows';
import type { LockStore } from '../pod/lock-store';
import { CommandError } from './command-line';

/** An operator can wait longer for etcd than a keeper; a leader election passes within this. */
const etcdTimeoutMs = 3000;

/** The configuration as the commands need it that run no handler and touch no broker. */
export async function loadOperatorConfig(options: { config: string | undefined }): Promise<Config> {
  const { loadConfig } = await import('../config/load-config.js');
  return loadConfig({
    ...(options.config !== undefined && { file: options.config }),
    env: process.env,
    checkHandlers: false,
    cwd: process.cwd(),
  });
}

/** Connections of one command, opened when first used and closed together. */
export class Servers {
  private readonly closers: (() => unknown)[] = [];

  constructor(private readonly config: Config) {}

  /** A store per lock over one client. Its reads name the endpoints that did not answer. */
  async lockStores(locks: string[]): Promise<LockStore[]> {
    const [{ EtcdClient }, { EtcdLock }] = await Promise.all([
      import('../etcd/etcd-client.js'),
      import('../etcd/etcd-lock.js'),
    ]);
    const client = new EtcdClient(this.config.etcd, { requestTimeoutMs: etcdTimeoutMs });
    this.closers.push(() => client.close());
    return locks.map(
      (lock) => new EtcdLock(client, lock, { report: (problem) => console.error(`baton: ${problem}`) }),
    );
  }

  async leaseReader(): Promise<LeaseReader> {
    const { LeaseReader } = await import('../client/lease-reader.js');
    const reader = new LeaseReader(this.config.etcd, etcdTimeoutMs);
    this.closers.push(() => reader.close());
    return reader;
  }

  /** @throws WorkflowsAwayError naming Temporal's address. */
  async workflows(): Promise<RegionWorkflows> {
    const { connectClient } = await import('../temporal/connection.js');
    const workflows = await connectClient(this.config);
    this.closers.push(() => workflows.close());
    return workflows;
  }

  /** Last opened, first closed. */
  async close(): Promise<void> {
    for (const close of this.closers.splice(0).toReversed()) {
      try {
        await close();
      } catch {
        // The outcome is known by now, and the process exits next.
      }
    }
  }
}

/** The sentence for an operator, where a server did not answer or refused. */
export function asCommandError(error: unknown): unknown {
  const expected = [
    'WorkflowsAwayError',
    'TemporalAwayError',
    'UnknownOutcomeError',
    'RefusedError',
    'LostError',
  ];
  return error instanceof Error && expected.includes(error.name)
    ? new CommandError(error.message, { cause: error })
    : error;
}
