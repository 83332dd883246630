import { setTimeout as sleep } from 'node:timers/promises';
import type { Bench, BenchContext, BenchReport } from './bench';
import { Figures, fitLine } from './cost-figures';
import { CostFleet } from './cost-fleet';
import { ContinuedRun } from './cost-history';
import { idleVariant, measureIdle } from './cost-idle';
import { type LoadPlan, measureBatonLoad, measurePlainLoad } from './cost-load';
import { measureStarts } from './cost-start';

export interface CostPlan {
  /** One fleet after the other: so many locks, so many windows of `idleMs`, so many pods started beside it. */
  fleets: { locks: number; windows: number; starts: number }[];
  /** The locks' setting; its default when left out. */
  beatMs?: number;
  /** A multiple of what recurs (beats of 10 s, extensions of 3.3 s), so that each window sees as many of them. */
  idleMs: number;
  load: LoadPlan;
  /** `limitMs`: how long it may go on after everything else. `null`: not measured. */
  history: { historyLimit?: number; limitMs: number } | null;
}

const startLimitMs = 90_000;
/** A spare that has been forked takes its time to be warm. */
const settleMs = (locks: number): number => 1_500 + 60 * locks;
const shownWarnings = 3;

export const costBench: Bench = {
  name: 'cost',
  title: 'Cost of being safe',
  run: (context) => measureCost(context, context.quick ? quickPlan(context) : fullPlan(context)),
};

function fullPlan(context: BenchContext): CostPlan {
  return {
    fleets: [
      { locks: 1, windows: 5, starts: context.rounds(10, 3) },
      { locks: 10, windows: 5, starts: 0 },
      { locks: 100, windows: 3, starts: 3 },
      { locks: 200, windows: 3, starts: 0 },
    ],
    idleMs: 10_000,
    load: { rates: [500, 5_000], windows: { count: 5, ms: 2_000 } },
    history: { limitMs: 120_000 },
  };
}

function quickPlan(context: BenchContext): CostPlan {
  return {
    fleets: [
      { locks: 1, windows: 3, starts: context.rounds(10, 3) },
      { locks: 10, windows: 2, starts: 0 },
    ],
    idleMs: 10_000,
    load: { rates: [500], windows: { count: 3, ms: 1_000 } },
    history: { historyLimit: 200, limitMs: 10_000 },
  };
}

export async function measureCost(context: BenchContext, plan: CostPlan): Promise<BenchReport> {
  const figures = new Figures();
  const notes: string[] = [];
  const { history } = plan;
  const starting = history === null ? null : ContinuedRun.start(context, history.historyLimit);
  starting?.catch(() => {}); // Thrown where it is awaited.
  try {
    const part = (what: string, work: () => Promise<string[]>): Promise<void> =>
      attempt(context, what, notes, work);
    for (const fleet of plan.fleets)
      await part(`locks: ${fleet.locks}`, () => measureFleet(context, plan, fleet, figures));
    await part('a plain consumer', () => measurePlainLoad(plan.load, figures, context.stack, context.signal));
    if (history !== null && starting !== null)
      await part('waiting for continue-as-new', async () => {
        const variant = history.historyLimit ? `historyLimit ${history.historyLimit}` : 'default settings';
        return (await starting).finish(figures, variant, history.limitMs, context.signal);
      });
  } finally {
    await starting?.then(
      (run) => run.stop(),
      () => {}, // Has cleaned up after itself.
    );
  }
  return {
    results: figures.results(),
    goals: [],
    notes: [...methodNotes(), ...fits(figures, plan), ...notes],
  };
}

/** What fails costs its own figures, not those measured before: hundreds of locks may be too many for a machine. */
async function attempt(
  context: BenchContext,
  what: string,
  notes: string[],
  work: () => Promise<string[]>,
): Promise<void> {
  context.say(`cost: ${what}`);
  try {
    notes.push(...(await work()));
  } catch (error) {
    if (context.signal.aborted) throw error;
    notes.push(
      `Not measured to the end (${what}): ${error instanceof Error ? error.message : String(error)}.`,
    );
  }
}

async function measureFleet(
  context: BenchContext,
  plan: CostPlan,
  { locks, windows, starts }: CostPlan['fleets'][number],
  figures: Figures,
): Promise<string[]> {
  const { stack, folder, signal } = context;
  const notes: string[] = [];
  const fleet = new CostFleet({
    id: `cost-${locks}`,
    locks,
    stack,
    rabbitmqUrl: stack.rabbitmqUrl,
    folder,
    ...(plan.beatMs === undefined ? {} : { lockSettings: { beatMs: plan.beatMs } }),
    signal,
  });
  try {
    const began = Date.now();
    const seconds = await fleet.start(startLimitMs);
    if (seconds === null) {
      const { held, ready } = await fleet.survey();
      notes.push(
        `${locks} locks: after ${startLimitMs / 1000} s held ${show(held)}, ready and standing ${show(ready)}; ` +
          'the figures are those of this state.',
      );
    } else figures.add(`both pods from nothing, locks held and ready: ${locks}`, 'baton', 's', seconds);
    await sleep(settleMs(locks), undefined, { signal });
    notes.push(...warningNotes(`${locks} locks, start`, fleet, began));
    context.say(`cost: ${idleVariant(locks)}`);
    const idleFrom = Date.now();
    await measureIdle(fleet, { count: windows, ms: plan.idleMs }, figures, context);
    notes.push(...warningNotes(`${locks} locks, idle`, fleet, idleFrom));
    if (starts > 0) context.say(`cost: ${starts} starts of a pod with ${locks} locks`);
    notes.push(...(await measureStarts(fleet, starts, figures, signal)));
    if (locks === 1) {
      context.say('cost: one lock under load');
      notes.push(...(await measureBatonLoad(fleet, plan.load, figures, stack, signal)));
    }
    return notes;
  } finally {
    fleet.stop();
  }
}

const show = (counts: Map<string, number>): string =>
  [...counts].map(([name, count]) => `${name} ${count}`).join(', ') || 'none';

function warningNotes(when: string, fleet: CostFleet, since: number): string[] {
  const warnings = fleet.warningsSince(since);
  if (warnings.length === 0) return [];
  const sum = warnings.reduce((total, { count }) => total + count, 0);
  const shown = warnings.slice(0, shownWarnings).map(({ text, count }) => `${count} × "${text}"`);
  return [`${when}: the pods logged ${sum} warnings, most often ${shown.join(', ')}.`];
}

function methodNotes(): string[] {
  return [
    'Two regions with one pod each, TTL 10 s, beat 10 s; the first region holds all locks. etcd requests are all ' +
      'messages that clients sent to it (unary requests, keepalives, requests on watches), of both pods.',
    'Actions/day per lock = 86,400 × billable actions the Temporal server counted (timers, activities, heartbeats ' +
      'that reached it, signals, search attribute upserts) / seconds / locks, of both regions. Per beat: 1 timer + 1 activity.',
    'Events/h per lock = 3,600 × events from one renewLease to the next / seconds between them. A standby region ' +
      'writes only when an awaitTenure of five minutes ends.',
    'CPU is user and system time of the process over the window; memory is PSS at its end (pages shared with other ' +
      'Node processes of the machine count in parts).',
    ...(process.platform === 'linux'
      ? []
      : ['No /proc here: CPU, memory and Temporal’s actions were not measured.']),
  ];
}

/** The fixed part and the part per lock, by least squares over the lock counts. */
function fits(figures: Figures, plan: CostPlan): string[] {
  const wanted = [
    ['baton', 'requests/s', '', 'etcd requests/s'],
    ...['active pod', 'standby pod'].flatMap((place) =>
      ['baton agent', 'baton listener', 'baton spare'].flatMap((role) => [
        [role, '% of a core', `, ${place}`, `CPU of ${role}, ${place}, in % of a core`],
        [role, 'MB', `, ${place}`, `memory of ${role}, ${place}, in MB`],
      ]),
    ),
  ] as [string, string, string, string][];
  return wanted.flatMap(([system, unit, suffix, what]) => {
    const points = plan.fleets.flatMap(({ locks }) => {
      const value = figures.median(`${idleVariant(locks)}${suffix}`, system, unit);
      return value === undefined ? [] : [{ locks, value }];
    });
    const line = fitLine(points);
    return line === null
      ? []
      : [`Idle, ${what} ≈ ${line.fixed.toFixed(2)} + ${line.perLock.toFixed(3)} × locks.`];
  });
}
