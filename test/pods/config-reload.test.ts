import { readFileSync, writeFileSync } from 'node:fs';
import { temporal } from '@temporalio/proto';
import { regionWorkflowId } from '../../workflows/contract';
import { eventually } from '../support/eventually';
import { TestSystem } from '../support/test-system';

jest.setTimeout(120_000);

type Settings = Record<string, unknown>;
interface File {
  logLevel: string;
  verifyIntervalMs?: number;
  locks: Record<string, Settings & { queue: Settings }>;
}

let system: TestSystem;
afterEach(() => system.stop());

const holder = 'us-east-a';
const file = (): File => JSON.parse(readFileSync(system.configFile(), 'utf8')) as File;
const write = (content: string): void => writeFileSync(system.configFile(), content);

/** Has the holder read its configuration again, and returns what came of it. */
async function reload(change: (content: File, lock: File['locks'][string]) => void): Promise<string> {
  const content = file();
  const lock = content.locks[system.lock];
  if (!lock) throw new Error('the lock is not in the file');
  change(content, lock);
  write(JSON.stringify(content));
  return reloadAsItIs();
}

async function reloadAsItIs(): Promise<string> {
  const before = (await health()).config.at;
  process.kill(system.pod(holder).agentPid, 'SIGHUP');
  return eventually(async () => {
    const { config } = await health();
    if (config.at === before) throw new Error('nothing was read yet');
    return `${config.outcome}: ${config.why}`;
  }, 20_000);
}

async function page(path: string): Promise<string> {
  const [line] = await system.logLines(holder, 'health server listens');
  const answer = await fetch(`http://127.0.0.1:${String(line?.['healthPort'])}${path}`);
  return answer.text();
}
const health = async () =>
  JSON.parse(await page('/healthz')) as { config: { outcome: string; at: string; why: string } };

/** The most messages that were worked on at once, of those that began after `since`. */
function mostAtOnce(since: bigint): number {
  const edges = system
    .ledger()
    .flatMap(({ records }) => records)
    .filter(({ t }) => t > since)
    .toSorted((a, b) => Number(a.t - b.t));
  let [running, most] = [0, 0];
  for (const { event } of edges) {
    running = Math.max(0, running + (event === 'start' ? 1 : -1));
    most = Math.max(most, running);
  }
  return most;
}

async function lastBeatTimerSeconds(): Promise<number> {
  const client = await system.temporalClient();
  const { events } = await client.workflow.getHandle(regionWorkflowId(system.lock, 'us-east')).fetchHistory();
  const { EventType } = temporal.api.enums.v1;
  const timer = events?.findLast(({ eventType }) => eventType === EventType.EVENT_TYPE_TIMER_STARTED);
  return Number(timer?.timerStartedEventAttributes?.startToFireTimeout?.seconds ?? 0);
}

test('a holder under load takes over a changed configuration, or keeps the old one whole, and its tenure goes on', async () => {
  system = await TestSystem.create();
  await system.bringUp();
  const token = (await system.view()).holder?.token;
  const listener = (): number => system.activeListener(holder);
  (await system.connectPublisher()).start(250);
  await system.untilProcessed(100);
  const [pid, most] = [listener(), mostAtOnce(0n)];
  expect(most).toBeGreaterThan(1);

  // What can change live does: in the agent, in the listener, in the region's workflow.
  const applied = await reload((content, lock) => {
    content.logLevel = 'warn';
    content.verifyIntervalMs = 20_000;
    Object.assign(lock, { beatMs: 5_000, drainLimitMs: 9_000, preference: { order: ['us-east'] } });
    Object.assign(lock.queue, { concurrency: 1, prefetch: 20 });
  });
  expect(applied).toMatch(/^applied: /);
  for (const change of [
    'logLevel: debug → warn',
    'verifyIntervalMs: 30000 → 20000',
    `locks.${system.lock}.beatMs: 1000 → 5000`,
    `locks.${system.lock}.drainLimitMs: 10000 → 9000`,
    `locks.${system.lock}.preference.order: [] → [us-east]`,
    `locks.${system.lock}.queue.concurrency: 8 → 1`,
    `locks.${system.lock}.queue.prefetch: 8 → 20`,
  ])
    expect(applied).toContain(change);
  expect(await page('/metrics')).toContain(`baton_beat_period_seconds{lock="${system.lock}"} 5`);
  await eventually(async () => {
    const [line] = await system.logLines(holder, 'the broker stopped delivering');
    expect(line?.['reason']).toBe('the prefetch has changed');
  }, 20_000);
  await system.untilProcessed(system.processed() + 50);
  const since = process.hrtime.bigint();
  await system.untilProcessed(system.processed() + 200);
  expect(mostAtOnce(since + 50_000_000n)).toBe(1);
  await eventually(async () => expect(await lastBeatTimerSeconds()).toBe(5), 30_000);
  const quiet = (await system.logLines(holder, 'lease extended')).length;

  // One thing that cannot, and nothing of it does.
  const refused = await reload((content, lock) => {
    content.logLevel = 'debug';
    Object.assign(lock, { leaseTtlMs: 8_000, beatMs: 2_000 });
  });
  expect(refused).toMatch(/^refused: /);
  expect(refused).toContain(
    `locks.${system.lock}.leaseTtlMs: cannot change from 6000 to 8000 while the pod runs: restart needed`,
  );
  expect(refused).not.toContain('beatMs');
  const metrics = await page('/metrics');
  expect(metrics).toContain('baton_config_last_reload_successful 0');
  expect(metrics).toContain('baton_config_reloads_total{outcome="refused"} 1');
  expect(metrics).toContain(`baton_beat_period_seconds{lock="${system.lock}"} 5`);
  expect((await system.logLines(holder, 'configuration not taken over')).at(-1)).toMatchObject({
    level: 'error',
    reason: refused.replace('refused: ', ''),
  });

  // Nor does a file that cannot be used.
  const good = JSON.stringify({ ...file(), logLevel: 'warn' });
  write(`${good.slice(0, -1)}, "logLevel": [`);
  expect(await reloadAsItIs()).toMatch(/^refused: .*must be valid YAML/);
  write(good.replace('"leaseTtlMs":8000', '"leaseTtlMs":6000').replace('"beatMs":2000', '"beatMs":0'));
  expect(await reloadAsItIs()).toMatch(
    /^refused: .*beatMs is 0: must be a whole number of milliseconds, 1000/,
  );
  write(good.replace('"leaseTtlMs":8000', '"leaseTtlMs":6000').replace('"beatMs":2000', '"beatMs":5000'));
  // The old one has stayed whole: there is nothing to change back.
  expect(await reloadAsItIs()).toBe('unchanged: nothing has changed');
  expect(await page('/metrics')).toContain('baton_config_last_reload_successful 1');

  // It extends its lease as before, and says so again when asked to.
  const extended = async (): Promise<number> => (await system.logLines(holder, 'lease extended')).length;
  const confirmed = /baton_extensions_total\{[^}]*outcome="confirmed"\} (\d+)/;
  const extensions = async (): Promise<number> => Number(confirmed.exec(await page('/metrics'))?.[1]);
  const before = await extensions();
  await eventually(async () => expect(await extensions()).toBeGreaterThan(before + 1), 20_000);
  expect(await extended()).toBe(quiet);
  expect(await reload((content) => void (content.logLevel = 'info'))).toBe('applied: logLevel: warn → info');
  await eventually(async () => expect(await extended()).toBeGreaterThan(quiet), 20_000);

  await system.untilProcessed(system.processed() + 100);
  expect((await system.view()).holder?.token).toBe(token);
  expect(listener()).toBe(pid);
  const verdict = await system.settle();
  expect(verdict).toMatchObject({ lost: [], duplicates: [], overlaps: 0, tokensMonotonic: true });
  expect(verdict.changes.map(({ cause }) => cause)).toEqual(['first']);
});
