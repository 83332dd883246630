import type { EtcdClient } from './etcd-client';
import { get, put, remove } from './holder-transaction';
import { LockKeys } from './lock-keys';

/**
 * Whether etcd would let us work with a lock's keys. It looks at the permissions of both branches before it decides
 * which one to take, so the writes here are judged and never made.
 *
 * @throws AccessError when it would not; `UnknownOutcomeError` when it did not answer.
 */
export async function probeAccess(client: EtcdClient, lock: string): Promise<void> {
  const keys = new LockKeys(lock);
  const attempt = keys.attempt('0');
  const never = { key: Buffer.from(keys.holder), target: 'Version', result: 'Less', version: 0 } as const;
  const written = [keys.holder, attempt];
  await client.txn(
    `use the keys of ${lock} (read and write below ${keys.prefix} and ${attempt.slice(0, -1)})`,
    {
      compare: [never],
      success: written.flatMap((key) => [put(key, Buffer.alloc(0)), remove(`${key}.none`)]),
      failure: written.map(get),
    },
    true,
  );
}
