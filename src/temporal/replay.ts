import { Worker } from '@temporalio/worker';
import pino from 'pino';
import type { PayloadEncryption } from '../config/config';
import { dataConverterOf } from './data-converter';
import type { ArchivedHistory } from './history-archive';
import { installRuntime } from './sdk-logger';
import { workflowBundlePath } from './workflow-bundle';

export interface ReplayResult {
  file: string;
  workflowId: string;
  /** `null`: this version decides as the recorded one has. */
  problem: string | null;
}

/** Replays histories against the installed version, one after the other. Needs no server; `encryption` for sealed ones. */
export async function replayHistories(
  archived: ArchivedHistory[],
  bundlePath = workflowBundlePath,
  onResult: (result: ReplayResult) => void = () => undefined,
  encryption?: PayloadEncryption,
): Promise<ReplayResult[]> {
  installRuntime(pino({ level: 'silent' }));
  const results: ReplayResult[] = [];
  // The SDK's results name the workflow only, and one workflow may have many runs.
  const histories = archived.map(({ workflowId, history }) => ({ workflowId, history }));
  const replays = Worker.runReplayHistories(
    {
      workflowBundle: { codePath: bundlePath },
      dataConverter: dataConverterOf({ ...(encryption && { encryption }) }),
    },
    histories,
  );
  let index = 0;
  for await (const { error } of replays) {
    const { file = '', workflowId = '' } = archived[index++] ?? {};
    const result = { file, workflowId, problem: error ? error.message : null };
    results.push(result);
    onResult(result);
  }
  return results;
}
