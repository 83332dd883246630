import { mkdir, readdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Client } from '@temporalio/client';
import { temporal } from '@temporalio/proto';
import type { SavedHistory } from '../client/region-workflows';

const { History } = temporal.api.history.v1;
type HistoryMessage = temporal.api.history.v1.IHistory;

/** Those that Baton runs. */
const workflowTypes = ['regionWorkflow', 'scheduledSwitchWorkflow', 'drillWorkflow', 'groupSwitchWorkflow'];
const atOnce = 4;

/** Which runs are wanted: `locks` are those that a group's input names; no other workflow's is looked at. */
export type IsWanted = (workflowId: string, locks: string[]) => boolean;

/** Saves the histories of every run that Temporal still has, one file each; those that are there are written anew. */
export async function exportHistories(
  client: Client,
  folder: string,
  isWanted: IsWanted,
): Promise<SavedHistory[]> {
  await mkdir(folder, { recursive: true });
  const query = workflowTypes.map((type) => `WorkflowType = '${type}'`).join(' OR ');
  const runs: { workflowId: string; runId: string }[] = [];
  for await (const { workflowId, runId, type } of client.workflow.list({ query })) {
    const locks = type === 'groupSwitchWorkflow' ? await locksOf(client, workflowId, runId) : [];
    if (isWanted(workflowId, locks)) runs.push({ workflowId, runId });
  }
  const saved: SavedHistory[] = [];
  const work = async (): Promise<void> => {
    for (let run = runs.pop(); run; run = runs.pop()) saved.push(await save(client, folder, run));
  };
  await Promise.all(Array.from({ length: atOnce }, work));
  return saved.toSorted((a, b) => a.file.localeCompare(b.file));
}

/** By its first event. */
async function locksOf(client: Client, workflowId: string, runId: string): Promise<string[]> {
  const { history } = await client.workflowService.getWorkflowExecutionHistory({
    namespace: client.options.namespace,
    execution: { workflowId, runId },
    maximumPageSize: 1,
  });
  const started = history?.events?.[0]?.workflowExecutionStartedEventAttributes;
  const [input] = started?.input?.payloads ?? [];
  try {
    const { locks } = JSON.parse(Buffer.from(input?.data ?? []).toString()) as { locks?: unknown };
    return Array.isArray(locks) ? locks.filter((lock) => typeof lock === 'string') : [];
  } catch {
    // Not one that Baton has started.
    return [];
  }
}

async function save(
  client: Client,
  folder: string,
  { workflowId, runId }: { workflowId: string; runId: string },
): Promise<SavedHistory> {
  const history = await client.workflow.getHandle(workflowId, runId).fetchHistory();
  const plain = History.toObject(History.fromObject(history), {
    longs: String,
    enums: String,
    bytes: String,
  });
  const file = join(folder, `${encodeURIComponent(workflowId)}.${runId}.json`);
  // Interrupted half way, it leaves no half of a history under its name.
  await writeFile(`${file}.part`, `${JSON.stringify({ workflowId, runId, ...plain })}\n`);
  await rename(`${file}.part`, file);
  return { workflowId, runId, events: history.events?.length ?? 0, file };
}

export interface ArchivedHistory {
  file: string;
  workflowId: string;
  history: HistoryMessage;
}

/** All that `exportHistories` has saved there, and the Temporal UI's and CLI's own downloads. @throws Error naming the file. */
export async function readHistories(folder: string): Promise<ArchivedHistory[]> {
  const names = (await readdir(folder)).filter((name) => name.endsWith('.json')).toSorted();
  return Promise.all(
    names.map(async (name) => {
      const file = join(folder, name);
      try {
        const json = JSON.parse(await readFile(file, 'utf8')) as Partial<Record<string, unknown>> | null;
        if (!Array.isArray(json?.['events'])) throw new Error('it has no list of events');
        const { workflowId = name.replace(/\.json$/, '') } = json;
        if (typeof workflowId !== 'string') throw new Error('its workflowId is no text');
        const history = History.fromObject(json);
        // The SDK's core would end the process.
        if (!history.events[0]?.workflowExecutionStartedEventAttributes?.originalExecutionRunId)
          throw new Error('it does not begin with the start of a run');
        return { file, workflowId, history };
      } catch (error) {
        throw new Error(`${file} is not a workflow's history: ${(error as Error).message}`, { cause: error });
      }
    }),
  );
}
