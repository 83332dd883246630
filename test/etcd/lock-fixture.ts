import { randomUUID } from 'node:crypto';
import { EtcdClient } from '../../src/etcd/etcd-client';
import { EtcdLock } from '../../src/etcd/etcd-lock';
import { remove, put } from '../../src/etcd/holder-transaction';
import { LockKeys, prefixEnd } from '../../src/etcd/lock-keys';
import type { CandidateWrite, ChangeResult, HolderChange, LockView } from '../../src/pod/lock-store';
import { sharedServers, uniqueName } from '../support/servers';

/** For requests that are to be answered, also by a machine that stalls. */
const patientMs = 10_000;

/** One lock of its own in a real etcd, with what its tests need; `close` leaves nothing behind. */
export class LockFixture {
  readonly lock = uniqueName('lock');
  readonly keys = new LockKeys(this.lock);
  readonly problems: string[] = [];
  readonly client: EtcdClient;
  readonly store: EtcdLock;
  private readonly leases: string[] = [];

  constructor(endpoints: string[] = sharedServers().etcd, requestTimeoutMs = patientMs) {
    this.client = new EtcdClient({ endpoints }, { requestTimeoutMs });
    this.store = new EtcdLock(this.client, this.lock, { report: (line) => this.problems.push(line) });
  }

  /** The same lock through other connections. */
  other(endpoints: string[], requestTimeoutMs = patientMs): { client: EtcdClient; store: EtcdLock } {
    const client = new EtcdClient({ endpoints }, { requestTimeoutMs });
    const report = (line: string) => void this.problems.push(line);
    return { client, store: new EtcdLock(client, this.lock, { report }) };
  }

  async lease(ttlMs = 30_000): Promise<string> {
    const { leaseId } = await this.store.grantLease(ttlMs);
    this.leases.push(leaseId);
    return leaseId;
  }

  candidateOf(
    region: string,
    pod: string,
    leaseId: string,
    more: Partial<CandidateWrite> = {},
  ): CandidateWrite {
    const since = new Date().toISOString();
    return { region, pod, leaseId, state: 'ready', standing: true, since, version: '1', ...more };
  }

  async stand(region: string, pod: string, ttlMs = 30_000): Promise<CandidateWrite> {
    const candidate = this.candidateOf(region, pod, await this.lease(ttlMs));
    await this.store.putCandidate(candidate);
    return candidate;
  }

  changeTo(
    to: { region: string; pod: string },
    view: LockView,
    more: Partial<HolderChange> = {},
  ): HolderChange {
    const { region, pod } = to;
    const cause = view.holder ? 'switch' : 'takeover';
    return { id: randomUUID(), view, to: { region, pod }, cause, why: 'a test', by: 'test', ...more };
  }

  async acquire(to: { region: string; pod: string }): Promise<Applied> {
    return applied(await this.store.changeHolder(this.changeTo(to, await this.store.read())));
  }

  /** Writes a key as somebody with etcdctl would. */
  async putRaw(key: string, value: string, leaseId?: string): Promise<void> {
    await this.client.txn('put', { success: [put(key, Buffer.from(value), leaseId)] });
  }

  async deleteRaw(key: string): Promise<void> {
    await this.client.txn('delete', { success: [remove(key)] });
  }

  async close(): Promise<void> {
    for (const lease of this.leases) await this.store.revokeLease(lease);
    const below = (prefix: string) => ({
      request_delete_range: { key: Buffer.from(prefix), range_end: prefixEnd(prefix) },
    });
    const everything = [below(this.keys.prefix), below(this.keys.attempts)];
    await this.client.txn('clean up', { success: everything });
    this.client.close();
  }
}

export type Applied = Extract<ChangeResult, { outcome: 'applied' }>;

export function applied(result: ChangeResult): Applied {
  if (result.outcome === 'applied') return result;
  throw new Error(`expected to be applied, but refused: ${result.why}`);
}

/** Polls; the message says what did not happen. */
export async function eventually(
  what: string,
  condition: () => boolean | Promise<boolean>,
  limitMs = 20_000,
): Promise<void> {
  const until = performance.now() + limitMs;
  while (!(await condition())) {
    if (performance.now() > until) throw new Error(`${what} did not happen within ${limitMs} ms`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** For `toEqual`: etcd's revision of then or later, as other test files write to the same etcd meanwhile. */
export const revisionFrom = (least: number): { asymmetricMatch: (revision: unknown) => boolean } => ({
  asymmetricMatch: (revision) => typeof revision === 'number' && revision >= least,
});
