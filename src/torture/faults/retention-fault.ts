import { Client, Connection } from '@temporalio/client';
import type { FaultMaker } from './fault';

/**
 * Deletes every closed run of every workflow, through the same task of Temporal that deletes them when the
 * namespace's retention has passed.
 */
export const pastRetention: FaultMaker = async (_plan, { system }) => {
  const { address, namespace } = system.servers.temporal;
  const connection = await Connection.connect({ address });
  let deleted = 0;
  try {
    const { workflow } = new Client({ connection, namespace });
    for await (const { workflowId, runId } of workflow.list({ query: 'ExecutionStatus != "Running"' })) {
      const workflowExecution = { workflowId, runId };
      await connection.workflowService.deleteWorkflowExecution({ namespace, workflowExecution });
      deleted += 1;
    }
  } finally {
    await connection.close();
  }
  return { target: `temporal: ${deleted} closed runs`, end: async () => {} };
};
