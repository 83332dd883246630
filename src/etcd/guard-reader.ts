import type { IRangeRequest } from 'etcd3';
import type { HolderReading } from '../listener/guard';
import type { EtcdClient } from './etcd-client';
import { LockKeys, revisionNumber } from './lock-keys';
import { RangeSession } from './range-session';

interface Question {
  what: string;
  request: IRangeRequest;
  frame: Buffer;
}

/** The guard's question to etcd, as small as it can be: one key, and nothing of its value is looked at. */
export class GuardReader {
  private readonly questions = new Map<string, Question>();
  private readonly session: RangeSession | null;

  constructor(private readonly client: EtcdClient) {
    const { address, requestTimeoutMs } = client;
    this.session = address.username === undefined ? new RangeSession(address, requestTimeoutMs / 2) : null;
  }

  /**
   * Who held the lock at some moment between call and answer (a linearizable read). Throws `UnknownOutcomeError` when
   * etcd did not answer within one and a half times the client's request timeout.
   */
  async readHolder(lock: string): Promise<HolderReading> {
    const { what, request, frame } = this.question(lock);
    const reading = await this.session?.read(frame);
    if (reading) {
      const { revision, owner } = reading;
      return { revision, holder: owner && { token: owner.modRevision, leaseId: owner.lease } };
    }
    const { header, kvs } = await this.client.range(what, request);
    const [kv] = kvs;
    return {
      revision: revisionNumber(header.revision),
      holder: kv ? { token: revisionNumber(kv.mod_revision), leaseId: kv.lease } : null,
    };
  }

  /** Idempotent. Leaves the client open. */
  close(): void {
    this.session?.close();
  }

  private question(lock: string): Question {
    const known = this.questions.get(lock);
    if (known) return known;
    const key = Buffer.from(new LockKeys(lock).holder);
    const what = `read the holder of ${lock}`;
    const question = { what, request: { key, keys_only: true }, frame: RangeSession.request(key) };
    this.questions.set(lock, question);
    return question;
  }
}
