import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { temporal } from '@temporalio/proto';
import { readHistories, type ArchivedHistory } from '../../src/temporal/history-archive';
import { replayHistories } from '../../src/temporal/replay';
import { regionWorkflowId, statusQuery } from '../../workflows/contract';
import { eventually } from '../support/eventually';
import { TestSystem } from '../support/test-system';

jest.setTimeout(600_000);

const { EventType, WorkflowTaskFailedCause } = temporal.api.enums.v1;
/** There, and in the long form (`npm run test:upgrade`) back again, that many times. */
const rounds = Number(process.env['BATON_UPGRADE_ROUNDS'] ?? 0);
const pods = ['us-east-a', 'us-east-b', 'us-west-a', 'us-west-b'];
/** The standby region first, as one would. */
const order = ['us-west-a', 'us-west-b', 'us-east-a', 'us-east-b'];

let system: TestSystem;
let releases: Record<'previous' | 'present', string>;

beforeAll(() => {
  const script = resolve(__dirname, '../../scripts/previous-release.mjs');
  const { status, stdout, stderr } = spawnSync(process.execPath, [script], { encoding: 'utf8' });
  if (status !== 0) throw new Error(`the previous release cannot be built: ${stderr}`);
  releases = { previous: stdout.trim().split('\n').at(-1) ?? '', present: resolve(__dirname, '../..') };
});
beforeEach(async () => {
  system = await TestSystem.create();
});
afterEach(() => system.stop());

const programOf = (release: keyof typeof releases): string => join(releases[release], 'dist/src/cli/main.js');
const bundleOf = (release: keyof typeof releases): string =>
  join(releases[release], 'dist/workflow-bundle.js');
const runs = (pod: string): string =>
  readFileSync(`/proc/${system.pod(pod).agentPid}/cmdline`, 'utf8').split('\0')[1] ?? '';

/** One pod after the other: ended by SIGTERM, started again from the other release, and waited for. */
async function roll(release: keyof typeof releases): Promise<void> {
  system.program = programOf(release);
  for (const pod of order) {
    await system.endPod(pod);
    system.startPod(pod);
    await system.untilReady(pod);
    await system.untilProcessed(system.processed() + 20);
  }
  for (const pod of order) expect(runs(pod)).toBe(programOf(release));
}

/** Failed workflow tasks, but for the one kind that is normal: a signal came while a command was being sent. */
function failedTasks(histories: ArchivedHistory[]): string[] {
  return histories.flatMap(({ workflowId, history }) =>
    (history.events ?? []).flatMap(({ eventType, workflowTaskFailedEventAttributes: failed }) =>
      eventType === EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED &&
      failed?.cause !== WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_UNHANDLED_COMMAND
        ? [`${workflowId}: ${failed?.failure?.message}`]
        : [],
    ),
  );
}

/** Each region's workflow knows who holds the lock, and its own candidates. */
async function untilWorkflowsAgree(): Promise<void> {
  const client = await system.temporalClient();
  for (const region of system.regions) {
    const handle = client.workflow.getHandle(regionWorkflowId(system.lock, region));
    await eventually(async () => {
      const { holder } = await system.view();
      const { phase } = await handle.query(statusQuery);
      expect(phase).toBe(holder?.region === region ? 'active' : 'standby');
    }, 30_000);
  }
}

test('every pod of both regions is rolled from the previous release to this one under load, and nothing is lost or doubled', async () => {
  system.program = programOf('previous');
  await system.bringUp(pods);
  for (const pod of pods) expect(runs(pod)).toBe(programOf('previous'));
  (await system.connectPublisher()).start(200);
  await system.untilProcessed(50);

  await roll('present');
  for (let round = 0; round < rounds; round++) {
    await roll('previous');
    await roll('present');
  }
  await untilWorkflowsAgree();
  const { holder } = await system.view();
  const to = holder?.region === 'us-east' ? 'us-west' : 'us-east';
  await system.baton('switch', '--to', to, '--reason', 'rolled', '--lock', system.lock);
  await system.untilProcessed(system.processed() + 50);

  const verdict = await system.settle();
  expect(verdict).toMatchObject({ lost: [], duplicates: [], overlaps: 0, tokensMonotonic: true });
  // Whoever held the lock when told to go handed it over: no lease ever ran out.
  const causes = verdict.changes.map(({ cause }) => cause);
  expect(causes[0]).toBe('first');
  expect(causes.at(-1)).toBe('switch');
  expect(new Set(causes.slice(1, -1))).toEqual(new Set(['shutdown']));

  const folder = join(system.folder, 'histories');
  await system.baton('export-histories', folder, '--lock', system.lock);
  const histories = await readHistories(folder);
  expect(histories.length).toBeGreaterThanOrEqual(2);
  expect(failedTasks(histories)).toEqual([]);
  // This release goes on with what the previous one has begun, and the other way round.
  for (const release of ['present', 'previous'] as const) {
    const results = await replayHistories(histories, bundleOf(release));
    expect(results.filter(({ problem }) => problem !== null)).toEqual([]);
  }
});
