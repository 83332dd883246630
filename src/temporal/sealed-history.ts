import type { Client } from '@temporalio/client';
import type { Payload } from '@temporalio/common';

/** The newest events tell with which keys a workflow is being written now. */
const eventsLookedAt = 20;

/**
 * Resolves when this client has the keys for what was last written of a workflow, also when there is no such workflow.
 * @throws MissingKeyError
 */
export async function checkReadable(client: Client, workflowId: string): Promise<void> {
  const { namespace, loadedDataConverter } = client.options;
  const events = await client.workflowService
    .getWorkflowExecutionHistoryReverse({
      namespace,
      execution: { workflowId },
      maximumPageSize: eventsLookedAt,
    })
    .then(
      ({ history }) => history?.events ?? [],
      // Not started, or Temporal is away: nothing to read.
      () => [],
    );
  const payloads = events.flatMap((event) => payloadsIn(event));
  for (const codec of loadedDataConverter.payloadCodecs) await codec.decode(payloads);
}

function payloadsIn(message: unknown): Payload[] {
  if (typeof message !== 'object' || message === null || ArrayBuffer.isView(message)) return [];
  if ('metadata' in message && 'data' in message) return [message as Payload];
  return Object.values(message).flatMap((part) => payloadsIn(part));
}
