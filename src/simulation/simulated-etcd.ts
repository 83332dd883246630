import type {
  ICompare,
  IKeyValue,
  IRangeRequest,
  IRangeResponse,
  IRequestOp,
  IResponseHeader,
  ITxnRequest,
  ITxnResponse,
} from 'etcd3';
import type { World } from './world';

interface Stored {
  key: string;
  value: Buffer;
  createRevision: number;
  modRevision: number;
  version: number;
  leaseId: string;
}

interface Lease {
  id: string;
  ttlMs: number;
  /** Global ms. */
  expiresAt: number;
  keys: Set<string>;
}

export interface Change {
  type: 'Put' | 'Delete';
  key: string;
  kv: IKeyValue;
  /** Of a deletion: why. */
  why?: 'asked' | 'lease';
}

export type EtcdAnswer<T> = { answer: T } | { error: string };

/** etcd revokes expired leases in rounds. */
const revokeRoundMs = 500;

/**
 * etcd's committed state, as its majority has it: keys with revisions, transactions with compares, leases on a clock
 * of its own. Everything here happens at one moment; delay, loss and reordering are the network's.
 */
export class SimulatedEtcd {
  revision = 1;
  raftTerm = 2;
  /** Nothing commits before then. */
  stalledUntil = 0;
  /** A member that believes to be leader until then, in an older term: it answers keepalives to no effect. */
  deposed: { member: string; term: number; until: number } | null = null;
  readonly onChanges: ((changes: Change[], revision: number) => void)[] = [];
  private readonly stored = new Map<string, Stored>();
  private readonly leases = new Map<string, Lease>();
  private leaseCount = 0;

  constructor(
    private readonly world: World,
    /** Its ms per global ms. */
    private readonly rate: number,
  ) {}

  header(): IResponseHeader {
    return {
      cluster_id: '1',
      member_id: '1',
      revision: String(this.revision),
      raft_term: String(this.raftTerm),
    };
  }

  get(key: string): Stored | undefined {
    return this.stored.get(key);
  }

  leaseOf(leaseId: string): Readonly<Lease> | undefined {
    return this.leases.get(leaseId);
  }

  range(request: IRangeRequest): IRangeResponse {
    const key = String(request.key);
    const end = request.range_end ? String(request.range_end) : null;
    const found: Stored[] = [];
    if (end === null) {
      const one = this.stored.get(key);
      if (one) found.push(one);
    } else for (const each of this.stored.values()) if (each.key >= key && each.key < end) found.push(each);
    if (end !== null) found.sort((a, b) => (a.key < b.key ? -1 : 1));
    if (request.sort_target === 'Create') found.sort((a, b) => a.createRevision - b.createRevision);
    if (request.sort_order === 'Descend') found.reverse();
    const limit = Number(request.limit ?? 0);
    const kvs = (limit > 0 ? found.slice(0, limit) : found).map(kvOf);
    return { header: this.header(), kvs, more: false, count: String(found.length) };
  }

  txn({ compare = [], success = [], failure = [] }: ITxnRequest): EtcdAnswer<ITxnResponse> {
    const succeeded = compare.every((each) => this.holds(each));
    const operations = succeeded ? success : failure;
    for (const { request_put: put } of operations) {
      const lease = put?.lease;
      if (lease !== undefined && String(lease) !== '0' && !this.leases.has(String(lease)))
        return { error: 'etcdserver: requested lease not found' };
    }
    const revision = this.revision + 1;
    const changes: Change[] = [];
    const responses = operations.map((operation) => this.perform(operation, revision, changes));
    this.commit(changes, revision);
    // Its reads see its writes, and so does its header.
    const header = this.header();
    return { answer: { header, succeeded, responses } as unknown as ITxnResponse };
  }

  /** `wanted`: its id, when the client has chosen one. */
  grant(
    ttlSeconds: number,
    wanted?: string,
  ): EtcdAnswer<{ ID: string; TTL: string; header: IResponseHeader }> {
    if (wanted !== undefined && this.leases.has(wanted)) return { error: 'etcdserver: lease already exists' };
    const id = wanted ?? String(7_000_000 + (this.leaseCount += 1));
    const lease: Lease = { id, ttlMs: ttlSeconds * 1_000, expiresAt: 0, keys: new Set() };
    this.leases.set(id, lease);
    this.renew(lease);
    this.expireLater(lease);
    return { answer: { ID: id, TTL: String(ttlSeconds), header: this.header() } };
  }

  /** Answered by the leader by itself: nothing is committed. */
  keepAlive(leaseId: string, member: string): { ID: string; TTL: string; header: IResponseHeader } {
    const { deposed } = this;
    const lease = this.leases.get(leaseId);
    if (deposed && deposed.member === member && deposed.until > this.world.now) {
      const header = { ...this.header(), raft_term: String(deposed.term) };
      return { ID: leaseId, TTL: String((lease?.ttlMs ?? 3_000) / 1_000), header };
    }
    const isThere = lease !== undefined && lease.expiresAt > this.world.now;
    if (isThere) this.renew(lease);
    return { ID: leaseId, TTL: String(isThere ? lease.ttlMs / 1_000 : 0), header: this.header() };
  }

  revoke(leaseId: string, why: 'asked' | 'lease' = 'asked'): EtcdAnswer<object> {
    const lease = this.leases.get(leaseId);
    if (!lease) return { error: 'etcdserver: requested lease not found' };
    this.leases.delete(leaseId);
    const revision = this.revision + 1;
    const changes: Change[] = [];
    for (const key of lease.keys) this.remove(key, revision, changes, why);
    this.commit(changes, revision);
    return { answer: {} };
  }

  /** Another leader: it gives every lease its whole TTL again. */
  changeLeader(): void {
    this.raftTerm += 1;
    for (const lease of this.leases.values()) this.renew(lease);
  }

  private renew(lease: Lease): void {
    lease.expiresAt = this.world.now + lease.ttlMs / this.rate;
  }

  private expireLater(lease: Lease): void {
    const at = Math.max(lease.expiresAt, this.stalledUntil) + this.world.between(0, revokeRoundMs);
    this.world.at(at, () => {
      if (!this.leases.has(lease.id)) return;
      if (lease.expiresAt > this.world.now || this.stalledUntil > this.world.now)
        return this.expireLater(lease);
      this.revoke(lease.id, 'lease');
    });
  }

  private holds({ key, target, result, mod_revision: wanted }: ICompare): boolean {
    if (target !== 'Mod') throw new Error(`compare of ${String(target)} is not simulated`);
    const found = this.stored.get(String(key))?.modRevision ?? 0;
    if (result === 'Equal') return found === Number(wanted);
    if (result === 'Greater') return found > Number(wanted);
    throw new Error(`compare with ${String(result)} is not simulated`);
  }

  private perform(operation: IRequestOp, revision: number, changes: Change[]): object {
    const { request_put: put, request_delete_range: remove, request_range: range } = operation;
    if (range) return { response: 'response_range', response_range: this.range(range) };
    if (put) {
      this.put(String(put.key), put.value as Buffer, String(put.lease ?? '0'), revision, changes);
      return { response: 'response_put', response_put: {} };
    }
    if (!remove || remove.range_end !== undefined) throw new Error('not simulated: this operation');
    this.remove(String(remove.key), revision, changes, 'asked');
    return { response: 'response_delete_range', response_delete_range: {} };
  }

  private put(key: string, value: Buffer, leaseId: string, revision: number, changes: Change[]): void {
    const old = this.stored.get(key);
    if (old) this.leases.get(old.leaseId)?.keys.delete(key);
    this.leases.get(leaseId)?.keys.add(key);
    const stored: Stored = {
      key,
      value,
      createRevision: old?.createRevision ?? revision,
      modRevision: revision,
      version: (old?.version ?? 0) + 1,
      leaseId,
    };
    this.stored.set(key, stored);
    changes.push({ type: 'Put', key, kv: kvOf(stored) });
  }

  private remove(key: string, revision: number, changes: Change[], why: 'asked' | 'lease'): void {
    const old = this.stored.get(key);
    if (!old) return;
    this.stored.delete(key);
    this.leases.get(old.leaseId)?.keys.delete(key);
    const kv = { ...kvOf(old), value: Buffer.alloc(0), mod_revision: String(revision) };
    changes.push({ type: 'Delete', key, kv, why });
  }

  private commit(changes: Change[], revision: number): void {
    if (changes.length === 0) return;
    this.revision = revision;
    for (const tell of this.onChanges) tell(changes, revision);
  }
}

const kvOf = ({ key, value, createRevision, modRevision, version, leaseId }: Stored): IKeyValue => ({
  key: Buffer.from(key),
  value,
  create_revision: String(createRevision),
  mod_revision: String(modRevision),
  version: String(version),
  lease: leaseId,
});
