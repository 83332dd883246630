import { Client, Connection } from '@temporalio/client';
import { connect } from 'amqplib';
import { regionWorkflowId } from '../../workflows/contract';
import type { DevStack } from '../dev/dev-stack';

const LIMIT_MS = 5_000;

/**
 * Takes a test's queue and workflows off servers that outlive it. Its keys in etcd stay, under its own name: receipts
 * have no lease. A server that is gone meanwhile is left alone.
 */
export async function removeTraces(
  stack: DevStack,
  queue: string,
  lock: string,
  regions: readonly string[],
): Promise<void> {
  await Promise.allSettled([
    removeQueue(stack.rabbitmqUrl, queue),
    terminateWorkflows(
      stack.temporalAddress,
      regions.map((region) => regionWorkflowId(lock, region)),
    ),
  ]);
}

async function removeQueue(url: string, queue: string): Promise<void> {
  const model = await connect(url, { timeout: LIMIT_MS });
  try {
    const channel = await model.createChannel();
    await channel.deleteQueue(queue);
    await channel.deleteQueue(`${queue}.dead`);
    await channel.deleteExchange(`${queue}.dead`);
  } finally {
    await model.close();
  }
}

async function terminateWorkflows(address: string, ids: string[]): Promise<void> {
  const connection = await Connection.connect({ address, connectTimeout: LIMIT_MS });
  try {
    const client = new Client({ connection });
    await client.withDeadline(Date.now() + LIMIT_MS, () =>
      Promise.allSettled(ids.map((id) => client.workflow.getHandle(id).terminate('the test is over'))),
    );
  } finally {
    await connection.close();
  }
}
