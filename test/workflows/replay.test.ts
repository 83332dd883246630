import { readFileSync } from 'node:fs';
import { DeterminismViolationError } from '@temporalio/workflow';
import { Worker } from '@temporalio/worker';
import pino from 'pino';
import { installRuntime } from '../../src/temporal/sdk-logger';
import { workflowBundlePath } from '../../src/temporal/workflow-bundle';
import { historyNames, readHistory } from './history-file';

jest.setTimeout(60_000);
beforeAll(() => installRuntime(pino({ level: 'silent' })));

/** Recorded from real runs by `BATON_RECORD=1 npx jest test/workflows/region.test`. */
const names = historyNames();
const code = readFileSync(workflowBundlePath, 'utf8');

const replay = (name: string, workflows: string): Promise<void> =>
  Worker.runReplayHistory({ workflowBundle: { code: workflows } }, readHistory(name));

describe('workflows that are running when a new version is deployed go on with it', () => {
  it('histories of every kind are there', () => {
    expect(names).toEqual(
      expect.arrayContaining(['takeover', 'graceful-switch', 'lost-lease', 'continue-as-new', 'continued']),
    );
  });

  it.each(names)('%s', async (name) => {
    await expect(replay(name, code)).resolves.toBeUndefined();
  });
});

it('a change that asks something else of a pod is found', async () => {
  const changed = code.replaceAll('.startListener({', '.inspectLock({');
  expect(changed).not.toBe(code);
  await expect(replay('takeover', changed)).rejects.toThrow(DeterminismViolationError);
});
