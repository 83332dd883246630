import type { DrillOptions } from '../client/drill-options';
import type { CrashDrillReport, DrillReport, PlannedDrillReport } from '../../workflows/operations-contract';
import { checkRegion } from './chosen-locks';
import {
  type CommandSpec,
  configOption,
  jsonOption,
  type Options,
  runParsed,
  UsageError,
} from './command-line';
import { whoAmI, whoOptions, withClient } from './operator-command';
import { readScheduleTime, scheduleOptions } from './schedule-time';
import { fields } from './table';
import { readSpan } from './time-text';

const spec = {
  name: 'drill',
  summary: 'a planned switch and back, or a killed holder, with the recovery measured',
  options: {
    to: { value: 'REGION', help: 'the region to become active for a while' },
    'return-after': { value: 'SPAN', help: 'as 90s, 10m, 2h; must be given with --to' },
    crash: { help: "instead: the holder's pod kills itself, if its configuration allows it" },
    ...whoOptions,
    lock: { value: 'LOCK', required: true, help: 'the lock' },
    objective: {
      value: 'MS',
      whole: { min: 1, max: 86_400_000 },
      help: "what each gap, or the recovery after a crash, may take (default: the lock's drill settings)",
    },
    ...scheduleOptions,
    ...configOption,
    ...jsonOption,
  },
  notes:
    'It runs as a workflow of its own: Ctrl-C ends the waiting, not the drill. When somebody else changes the holder\nmeanwhile, the drill ends and leaves it alone. Exit code 0 when it passed. With --crash the pod dies with all its\nprocesses, and with every lock that it holds; it refuses unless another candidate stands ready.',
} as const satisfies CommandSpec;

export const run = (argv: string[]): Promise<number> => runParsed(spec, argv, work);

async function work(options: Options<typeof spec>): Promise<number> {
  const { lock, json } = options;
  const drill = readDrill({ ...options, returnAfter: options['return-after'] });
  const time = readScheduleTime(options);
  return withClient({ ...options, lock: [lock] }, async (client) => {
    if (!drill.crash) checkRegion(client.config, '--to', drill.to);
    if (time) {
      const id = await client.scheduleDrill(drill, time);
      console.log(json ? JSON.stringify({ schedules: [id] }) : `scheduled: ${id}`);
      return 0;
    }
    const report = await client.drill(drill);
    console.log(json ? JSON.stringify({ drill: report }) : drillText(report));
    return report.outcome === 'passed' ? 0 : 1;
  });
}

interface DrillValues {
  to: string | undefined;
  returnAfter: string | undefined;
  crash: boolean;
  lock: string;
  objective: string | undefined;
  reason: string;
  by: string | undefined;
}

/** @throws UsageError for what does not go together. */
function readDrill(values: DrillValues): DrillOptions {
  const { to, returnAfter, crash, lock, objective, reason, by = whoAmI() } = values;
  const common = { lock, reason, by, ...(objective !== undefined && { objectiveMs: Number(objective) }) };
  if (crash) {
    for (const [name, value] of Object.entries({ to, 'return-after': returnAfter }))
      if (value !== undefined) throw new UsageError(`--crash and --${name} cannot be given together`);
    return { ...common, crash };
  }
  if (to === undefined || returnAfter === undefined)
    throw new UsageError(
      '--to REGION and --return-after SPAN must be given, or --crash (baton drill --help)',
    );
  const returnAfterMs = readSpan(returnAfter);
  if (returnAfterMs === null)
    throw new UsageError(`--return-after is ${returnAfter}: must be like 90s, 10m, 2h`);
  return { ...common, to, returnAfterMs };
}

const drillText = (report: DrillReport): string =>
  report.kind === 'crash' ? crashText(report) : plannedText(report);

function plannedText({ outcome, why, lock, from, to, there, back }: PlannedDrillReport): string {
  const gap = (of: typeof back): string =>
    of?.receipt ? `${of.receipt.gapMs ?? 'unknown'} ms` : (of?.why ?? '-');
  return fields([
    ['drill', `${outcome}: ${why}`],
    ['lock', lock],
    ['there', there ? `${from} → ${to}, gap ${gap(there)}` : '-'],
    ['back', back ? `${to} → ${from}, gap ${gap(back)}` : '-'],
  ]);
}

function crashText(report: CrashDrillReport): string {
  const { outcome, why, lock, holder, killedAt, receipt, recoveryMs, measuredTo } = report;
  return fields([
    ['drill', `${outcome}: ${why}`],
    ['lock', lock],
    ['holder', holder ? `${holder.region}, pod ${holder.pod}, token ${holder.token}` : 'nobody'],
    ['killed', killedAt ?? 'not'],
    ['then', receipt?.to ? `${receipt.to.region}, pod ${receipt.to.pod}, token ${receipt.to.token}` : '-'],
    ['recovery', recoveryMs === null ? '-' : `${recoveryMs} ms to the ${measuredTo}`],
  ]);
}
