import { readFileSync } from 'node:fs';
import { DeterminismViolationError } from '@temporalio/workflow';
import { Worker } from '@temporalio/worker';
import pino from 'pino';
import { installRuntime } from '../../src/temporal/sdk-logger';
import { workflowBundlePath } from '../../src/temporal/workflow-bundle';
import { emptyTaskPlaces, withEmptyTask } from './empty-task';
import { historyNames, readHistory } from './history-file';

jest.setTimeout(60_000);
beforeAll(() => installRuntime(pino({ level: 'silent' })));

/** Recorded from real runs by `BATON_RECORD=1 npx jest test/workflows/region.test`. */
const names = historyNames();
const code = readFileSync(workflowBundlePath, 'utf8');

const replay = (history: ReturnType<typeof readHistory>, workflows = code): Promise<void> =>
  Worker.runReplayHistory({ workflowBundle: { code: workflows } }, history);

describe('workflows that are running when a new version is deployed go on with it', () => {
  it('histories of every kind are there', () => {
    expect(names).toEqual(
      expect.arrayContaining(['takeover', 'graceful-switch', 'lost-lease', 'continue-as-new', 'continued']),
    );
  });

  it.each(names)('%s', async (name) => {
    await expect(replay(readHistory(name))).resolves.toBeUndefined();
  });
});

/**
 * The server leaves such a task where a refused update met something else, and the SDK takes it for one with the task before it
 * when it replays: that is then decided later than it was, and with more history.
 */
it('workflow tasks in which nothing was decided change nothing', async () => {
  const history = readHistory('ignored');
  const places = emptyTaskPlaces(history);
  expect(places.length).toBeGreaterThan(10);
  for (const place of places) await expect(replay(withEmptyTask(history, place))).resolves.toBeUndefined();
  const all = places.toReversed().reduce(withEmptyTask, history);
  await expect(replay(all)).resolves.toBeUndefined();
});

it('a change that asks something else of a pod is found', async () => {
  const changed = code.replaceAll('.startListener({', '.inspectLock({');
  expect(changed).not.toBe(code);
  await expect(replay(readHistory('takeover'), changed)).rejects.toThrow(DeterminismViolationError);
});
