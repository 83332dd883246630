import type { IRangeRequest } from 'etcd3';
import type { EtcdClient } from './etcd-client';
import { LockKeys, revisionNumber } from './lock-keys';

/** The guard's question to etcd, as small as it can be: one key, and nothing of its value is looked at. */
export class GuardReader {
  private readonly requests = new Map<string, { what: string; request: IRangeRequest }>();

  constructor(private readonly client: EtcdClient) {}

  /**
   * Who held the lock at some moment between call and answer (a linearizable read); `null` for nobody. Throws
   * `UnknownOutcomeError` when etcd did not answer within the client's request timeout.
   */
  async readHolder(lock: string): Promise<{ token: number; leaseId: string } | null> {
    let known = this.requests.get(lock);
    if (!known) {
      const request = { key: Buffer.from(new LockKeys(lock).holder), keys_only: true };
      this.requests.set(lock, (known = { what: `read the holder of ${lock}`, request }));
    }
    const kv = (await this.client.range(known.what, known.request)).kvs[0];
    return kv ? { token: revisionNumber(kv.mod_revision), leaseId: kv.lease } : null;
  }
}
