import { defaultPayloadConverter } from '@temporalio/workflow';
import type { Payload, PayloadConverter } from '@temporalio/workflow';

/**
 * The converter of the workflow bundle. The SDK decodes a signal's payload inside the workflow task: one that
 * cannot be decoded (broken JSON, an unknown encoding, sent by hand or by another SDK) would fail that task
 * for ever. Here it becomes a value that no check of the signals accepts, and is recorded as ignored.
 */
export const payloadConverter: PayloadConverter = {
  toPayload: (value) => defaultPayloadConverter.toPayload(value),
  fromPayload<T>(payload: Payload): T {
    try {
      return defaultPayloadConverter.fromPayload<T>(payload);
    } catch (error) {
      return { undecodable: String(error).slice(0, 200) } as T;
    }
  },
};
