import { createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ConsumeMessage } from 'amqplib';

/** Where real attempts are counted, across pods and regions. */
export interface AttemptRecord {
  /** Counts one more attempt; returns how many have begun, this one included. A rejection: no answer. */
  begin(id: string): Promise<number>;
  clear(id: string): Promise<void>;
}

const retryPauseMs = 100;

/**
 * What stays the same when the broker delivers a message again. Without a message id, messages with equal
 * routing key and body share their count.
 */
export function attemptId(message: ConsumeMessage): string {
  const hash = createHash('sha256');
  const { messageId } = message.properties as { messageId?: string };
  // The length keeps (key "ab", body "c") apart from (key "a", body "bc").
  if (messageId) hash.update(`id:${messageId}`);
  else
    hash
      .update(`key:${message.fields.routingKey.length}:${message.fields.routingKey}`)
      .update(message.content);
  return hash.digest('hex');
}

/**
 * Counts an attempt, and keeps asking while there is no answer: nothing runs uncounted. `null` as soon as
 * `mayGoOn` says no, which it must do at the deadline at the latest.
 */
export async function countAttempt(
  record: AttemptRecord,
  id: string,
  mayGoOn: () => boolean,
): Promise<number | null> {
  while (mayGoOn()) {
    try {
      return await record.begin(id);
    } catch {
      // No answer. If it was counted all the same, this message gets one attempt less.
      await sleep(retryPauseMs);
    }
  }
  return null;
}

/**
 * How often the broker has delivered this message before, also without its being worked on. Whether it has is the
 * broker's word. The header can be the sender's: a quorum queue sets it from the second delivery on, a classic one never.
 */
export function redeliveries({ fields, properties }: ConsumeMessage): number {
  if (!fields.redelivered) return 0;
  const count: unknown = properties.headers?.['x-delivery-count'];
  return Number.isSafeInteger(count) ? Math.max(1, count as number) : 1;
}
