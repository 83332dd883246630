import { createHash } from 'node:crypto';
import { LostError, UnknownOutcomeError } from '../../activities/errors';
import type { EtcdClient } from './etcd-client';
import { get, put, remove, unchanged } from './holder-transaction';
import { LockKeys, revisionNumber } from './lock-keys';

/** Nothing stays longer than this after the last attempt of its message (nor less than half of it). */
const leaseMs = 24 * 60 * 60 * 1_000;
const maxSwaps = 20;
/** No message hashes to this. */
const rehearsalId = '0';

/**
 * Counts how often work on a redelivered message was really begun, across pods and regions: the broker's own
 * count includes returns of messages that nobody had worked on. Errors are those of `EtcdClient`; after an
 * unknown outcome the attempt may have been counted.
 */
export class AttemptRecord {
  private readonly keys: LockKeys;
  private lease: { granted: Promise<string>; period: number } | null = null;

  constructor(
    private readonly client: EtcdClient,
    lock: string,
  ) {
    this.keys = new LockKeys(lock);
  }

  /**
   * Does once what the first attempt would otherwise wait for: has the lease granted, and runs the code, which
   * takes ten times as long the first time. An error is left to the first attempt.
   */
  async prepare(): Promise<void> {
    try {
      await this.begin(rehearsalId);
      await this.clear(rehearsalId);
    } catch {
      // etcd is away; whoever comes next finds out.
    }
  }

  /** Counts one more attempt and returns how many there have been, this one included. */
  async begin(id: string): Promise<number> {
    const key = this.keys.attempt(id);
    const what = `count an attempt of ${this.keys.lock}`;
    let known: { count: number; modRevision: number } | null = null;
    for (let swap = 0; swap < maxSwaps; swap += 1) {
      const count = (known?.count ?? 0) + 1;
      const lease = await this.currentLease();
      try {
        const answer = await this.client.txn(what, {
          compare: [unchanged(key, known)],
          success: [put(key, Buffer.from(String(count)), lease)],
          failure: [get(key)],
        });
        if (answer.succeeded) return count;
        const kv = answer.responses[0]?.response_range.kvs[0];
        known = kv ? { count: parseCount(kv.value), modRevision: revisionNumber(kv.mod_revision) } : null;
      } catch (error) {
        if (!(error instanceof LostError)) throw error;
        // etcd does not know the lease (restored from a backup, or it ran out while we slept): a new one.
        this.lease = null;
      }
    }
    throw new UnknownOutcomeError(
      `attempt ${key} was not counted: others changed it ${maxSwaps} times in a row`,
    );
  }

  /** For a message that is done, whatever came of it. */
  async clear(id: string): Promise<void> {
    await this.client.txn(
      `clear the attempts of ${this.keys.lock}`,
      { success: [remove(this.keys.attempt(id))] },
      true,
    );
  }

  /**
   * One lease for all processes of a lock and half of `leaseMs`, whoever comes first: each process would leave one
   * of its own behind when it ends, and each tenure forks a process.
   */
  private currentLease(): Promise<string> {
    const period = Math.floor(Date.now() / (leaseMs / 2));
    if (this.lease?.period !== period) {
      const id = leaseIdOf(this.keys.lock, period);
      const granted = this.client.grantLeaseOnce(id, leaseMs).then(() => id);
      const lease = { granted, period };
      this.lease = lease;
      // The next caller asks again; this one gets the error through `granted`.
      granted.catch(() => {
        if (this.lease === lease) this.lease = null;
      });
    }
    return this.lease.granted;
  }
}

/** A positive number of 63 bits, as etcd's are; as unlikely as its own random ones to be somebody else's. */
function leaseIdOf(lock: string, period: number): string {
  const hash = createHash('sha256').update(`baton attempts of ${lock}, ${period}`).digest();
  return String(BigInt.asUintN(63, hash.readBigUInt64BE()) || 1n);
}

/** Something else in its place counts as none: it is overwritten. */
function parseCount(value: Buffer): number {
  const count = Number(value.toString());
  return Number.isSafeInteger(count) && count > 0 ? count : 0;
}
