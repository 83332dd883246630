import { randomUUID } from 'node:crypto';
import type { Client } from '@temporalio/client';

type Service = Client['workflowService'];
export type Payload = NonNullable<
  NonNullable<Parameters<Service['signalWorkflowExecution']>[0]['input']>['payloads']
>[number];

/** Below the SDK's client, which would refuse to encode most of it. */
export class RawTemporal {
  private readonly service: Service;

  constructor(
    private readonly client: Client,
    private readonly workflowId: string,
  ) {
    this.service = client.workflowService;
  }

  async signal(signalName: string, payloads: Payload[] | null): Promise<void> {
    await this.service.signalWorkflowExecution({ ...this.to(), signalName, input: input(payloads) });
  }

  /** Resolves with what the workflow said, or why it was not asked. */
  async update(name: string, payloads: Payload[] | null, waitMs: number): Promise<string> {
    const request = {
      meta: { updateId: randomUUID(), identity: 'fuzz' },
      input: { name, args: input(payloads) },
    };
    // Until it is accepted or rejected. ACCEPTED = 2.
    const waitPolicy = { lifecycleStage: 2 };
    const answer = await this.client.withDeadline(Date.now() + waitMs, () =>
      this.service.updateWorkflowExecution({ ...this.to(), request, waitPolicy }),
    );
    return answer.outcome?.failure?.message ?? 'accepted';
  }

  /** Resolves with the error's text where there was one. */
  async query(queryType: string, payloads: Payload[] | null): Promise<string> {
    try {
      await this.service.queryWorkflow({ ...this.to(), query: { queryType, queryArgs: input(payloads) } });
      return 'answered';
    } catch (error) {
      return (error as Error).message;
    }
  }

  private to(): { namespace: string; workflowExecution: { workflowId: string } } {
    return { namespace: 'default', workflowExecution: { workflowId: this.workflowId } };
  }
}

const input = (payloads: Payload[] | null): { payloads: Payload[] } | null => payloads && { payloads };

export const json = (value: unknown): Payload => ({
  metadata: { encoding: Buffer.from('json/plain') },
  data: Buffer.from(JSON.stringify(value) ?? ''),
});
