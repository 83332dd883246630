import type { Config } from '../config/config';
import { CredentialFiles } from '../config/credential-files';
import { hasTlsFiles } from '../config/tls-files';
import type { EtcdClient } from '../etcd/etcd-client';
import type { LockStore } from '../pod/lock-store';
import type { LeaseReader } from './lease-reader';
import type { RegionWorkflows } from './region-workflows';

/** An operator can wait longer for etcd than a keeper; a leader election passes within this. */
const etcdTimeoutMs = 3000;

/** Connections to etcd and Temporal, opened when first used and closed together. */
export class Servers {
  private readonly closers: (() => unknown)[] = [];
  private readonly stores = new Map<string, Promise<LockStore>>();
  private etcd: Promise<EtcdClient> | null = null;
  private leases: Promise<LeaseReader> | null = null;
  private temporal: Promise<RegionWorkflows> | null = null;
  private temporalFiles: CredentialFiles | null = null;

  /** `report` is told of each value in etcd that cannot be read, in one sentence. */
  constructor(
    private readonly config: Config,
    private readonly report: (problem: string) => void,
  ) {}

  /** Its reads name the endpoints that did not answer. */
  store(lock: string): Promise<LockStore> {
    const known = this.stores.get(lock);
    if (known) return known;
    const opened = this.openStore(lock);
    this.stores.set(lock, opened);
    return opened;
  }

  leaseReader(): Promise<LeaseReader> {
    this.leases ??= this.openLeaseReader();
    return this.leases;
  }

  /** Tried again by the next call when it fails. @throws WorkflowsAwayError naming Temporal's address. */
  workflows(): Promise<RegionWorkflows> {
    const state = this.temporal && (this.temporalFiles?.replaced() ?? null);
    if (state !== null) void this.renewTemporal(state);
    this.temporal ??= this.connectTemporal().catch((error: unknown) => {
      this.temporal = null;
      throw error;
    });
    return this.temporal;
  }

  private async openStore(lock: string): Promise<LockStore> {
    const { EtcdLock } = await import('../etcd/etcd-lock.js');
    this.etcd ??= this.openEtcd();
    return new EtcdLock(await this.etcd, lock, { report: this.report });
  }

  private async openEtcd(): Promise<EtcdClient> {
    const module = await import('../etcd/etcd-client.js');
    const client = new module.EtcdClient(this.config.etcd, { requestTimeoutMs: etcdTimeoutMs });
    this.closers.push(() => client.close());
    return client;
  }

  private async openLeaseReader(): Promise<LeaseReader> {
    const module = await import('./lease-reader.js');
    const reader = new module.LeaseReader(this.config.etcd, etcdTimeoutMs);
    this.closers.push(() => reader.close());
    return reader;
  }

  /** With new certificates. Requests under way end over the old connection, which stays where the new one fails. */
  private async renewTemporal(state: string): Promise<void> {
    try {
      this.temporal = Promise.resolve(await this.connectTemporal());
      this.temporalFiles?.accept(state);
    } catch {
      // The next request over the old connection tells how it is.
      this.temporalFiles?.refuse();
    }
  }

  private async connectTemporal(): Promise<RegionWorkflows> {
    const { connectClient } = await import('../temporal/connection.js');
    this.temporalFiles ??= hasTlsFiles(this.config.temporal)
      ? new CredentialFiles(this.config.temporal)
      : null;
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
