import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { UsageError } from '../cli/command-line';
import { checkRun } from './checker/check-run';
import { faultCatalogue, type FaultName, type Requirement, requirements } from './fault-catalogue';
import { Nemesis, type NemesisFinding } from './nemesis';
import { findFaketime } from './pod-clock';
import { whyNoPodNetworks } from './pod-network';
import { previousRelease } from './previous-release';
import { awaitWorkflows, collectEnd, settle } from './run-end';
import { now, RunRecorder } from './run-recorder';
import { planSchedule, scheduleText } from './schedule';
import type { TortureOptions } from './torture-options';
import { failed, type TortureResult } from './torture-report';
import { TortureServers } from './torture-servers';
import { lock, regions, timing, TortureSystem } from './torture-system';

/**
 * One run: servers, pods and load of its own, the seed's schedule of faults, then everything healed, settled, written
 * down and judged. Nothing of it is left when it returns, but the run's folder where that was asked for or something
 * was found.
 *
 * @throws the signal's reason when that fires, and what kept the run from its end.
 */
export async function tortureRun(
  options: TortureOptions,
  say: (line: string) => void,
  signal: AbortSignal,
): Promise<TortureResult> {
  const { seed, minutes, rate } = options;
  const { faults, skipped, previousProgram } = possibleHere(options);
  // Drawn from all kinds, so that the seed means the same on a machine that cannot do some of them.
  const drawn = planSchedule({ seed, minutes, faults: options.faults, ttlMs: timing.ttlMs });
  const rounds = drawn.map((round) => ({
    ...round,
    faults: round.faults.filter(({ kind }) => faults.includes(kind)),
  }));
  say(`schedule of seed ${seed}: ${rounds.length} rounds\n${scheduleText(rounds)}`);
  for (const each of skipped) say(`skipped: ${each}`);
  const folder = runFolderOf(options);
  const recorder = new RunRecorder(folder);
  let keep = true;
  let servers: TortureServers | undefined;
  let system: TortureSystem | undefined;
  try {
    say('starting three etcd members, RabbitMQ, Temporal, PostgreSQL and Toxiproxy');
    servers = await TortureServers.start();
    signal.throwIfAborted();
    system = await TortureSystem.create(servers, recorder, {
      clocks: faults.some((kind) => needOf(kind) === 'faketime'),
      networks: faults.some((kind) => needOf(kind) === 'namespaces'),
      previousProgram,
    });
    recorder.describe(describe({ ...options, faults }));
    say('starting two regions of two pods');
    await system.bringUp(signal);
    system.load.start(rate);
    const nemesis = new Nemesis(system, say, signal);
    await nemesis.run(rounds, performance.now() + minutes * 60_000);
    signal.throwIfAborted();
    const findings = [...nemesis.findings, ...(await conclude(system, say, signal))];
    await system.stop();
    recorder.close();
    say('checking');
    const checked = await checkRun(folder);
    const result: TortureResult = {
      options,
      checked,
      findings,
      switches: { asked: nemesis.switches, done: nemesis.switchesDone },
      unexpectedExits: system.unexpectedExits,
      skipped,
      runFolder: null,
    };
    keep = options.keep !== undefined || failed(result);
    return { ...result, runFolder: keep ? folder : null };
  } catch (error) {
    if (system && !signal.aborted) say(system.logTails());
    throw error;
  } finally {
    await system?.stop();
    recorder.close();
    // What the servers said, for whoever asks why.
    if (keep && servers) copyServerLogs(servers.folder, folder);
    await servers?.stop();
    if (!keep || (signal.aborted && options.keep === undefined)) rmSync(folder, { recursive: true });
  }
}

const needOf = (kind: FaultName): Requirement | undefined => faultCatalogue[kind].needs;

/** @throws UsageError when nothing of what was asked for can be done on this machine. */
function possibleHere({ faults }: TortureOptions): {
  faults: readonly FaultName[];
  skipped: string[];
  previousProgram: string | null;
} {
  let previousProgram: string | null = null;
  const whyNot: Record<Requirement, () => string | null> = {
    faketime: () => (findFaketime() === null ? 'libfaketime is not installed (Debian: faketime)' : null),
    namespaces: whyNoPodNetworks,
    'previous-release': () => {
      const { program, why } = previousRelease();
      previousProgram = program;
      return why;
    },
  };
  const needed = requirements.filter((need) => faults.some((kind) => needOf(kind) === need));
  const missing = new Map(needed.map((need) => [need, whyNot[need]()]));
  const why = (kind: FaultName): string | null => missing.get(needOf(kind)!) ?? null;
  const skipped = faults.filter((kind) => why(kind) !== null);
  const reasons = skipped.map((kind) => `${kind}: ${why(kind)}`);
  if (skipped.length === faults.length)
    throw new UsageError(`--faults is "${faults.join(',')}": ${reasons.join('; ')}`);
  return { faults: faults.filter((kind) => !skipped.includes(kind)), skipped: reasons, previousProgram };
}

async function conclude(
  system: TortureSystem,
  say: (line: string) => void,
  signal: AbortSignal,
): Promise<NemesisFinding[]> {
  say('everything is healed; waiting until every message was worked on');
  const findings = await settle(system, signal);
  await awaitWorkflows(system, signal);
  say('collecting receipts, histories, the queue and the store');
  await collectEnd(system);
  return findings;
}

/** @throws UsageError when the folder that was asked for is in use. */
function runFolderOf({ keep }: TortureOptions): string {
  if (keep === undefined) return mkdtempSync(join(tmpdir(), 'baton-torture-run-'));
  if (existsSync(keep) && readdirSync(keep).length > 0)
    throw new UsageError(`--keep is "${keep}": must not exist, or be an empty folder`);
  mkdirSync(keep, { recursive: true });
  return keep;
}

function copyServerLogs(from: string, runFolder: string): void {
  const logs = ['etcd', 'rabbitmq', 'temporal', 'toxiproxy'].flatMap((server) =>
    existsSync(join(from, server))
      ? readdirSync(join(from, server))
          .filter((name) => name.endsWith('.log'))
          .map((name) => join(from, server, name))
      : [],
  );
  mkdirSync(join(runFolder, 'servers'), { recursive: true });
  for (const log of logs)
    cpSync(log, join(runFolder, 'servers', log.slice(dirname(dirname(log)).length + 1).replace('/', '-')));
}

const describe = ({ seed, minutes, faults }: TortureOptions) => ({
  seed,
  minutes,
  locks: [
    {
      lock,
      queue: lock,
      regions: [...regions],
      ttlMs: timing.ttlMs,
      concurrency: timing.concurrency,
      drainLimitMs: timing.drainLimitMs,
    },
  ],
  faultKinds: faults,
  sink: { exactlyOnce: true },
  startedAt: now(),
  wallClockAtStart: new Date().toISOString(),
});
