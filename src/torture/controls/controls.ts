import { join } from 'node:path';
import { peers } from '../../bench/peers/peers';
import type { DevStack } from '../../dev/dev-stack';
import type { CheckReport, ViolationKind } from '../checker/check-report';
import { checkRun } from '../checker/check-run';
import { runBatonControl, type Scenario } from './baton-control';
import type { Mutation } from './mutated-build';
import { mutations } from './mutations';
import { runPeerControl } from './peer-control';

export interface Control {
  /** For `--only`. */
  id: string;
  system: string;
  switchedOff: string;
  scenario: Scenario;
  /** Kinds of which at least one must be flagged; none: nothing may be. */
  expected: readonly ViolationKind[];
  run: (stack: DevStack, folder: string, rounds: number) => Promise<void>;
}

export interface ControlResult {
  control: Control;
  report: CheckReport;
  /** Flagged, of the kinds expected and of others. */
  flagged: Partial<Record<ViolationKind, number>>;
  asExpected: boolean;
}

/** Of Baton's lock and of the peers' leases. */
export const ttlMs = 5_000;

const baton = (
  id: string,
  switchedOff: string,
  scenario: Scenario,
  expected: readonly ViolationKind[],
  off: { mutations?: readonly Mutation[]; checksToken?: boolean } = {},
): Control => ({
  id,
  system: 'baton',
  switchedOff,
  scenario,
  expected,
  run: (stack, folder, rounds) =>
    runBatonControl(stack, folder, {
      scenario,
      mutations: off.mutations ?? [],
      checksToken: off.checksToken ?? true,
      rounds,
      ttlMs,
    }),
});

const peer = (name: string, etcdPrefix: (lock: string) => string): Control => ({
  id: name.replaceAll(' ', '-'),
  system: name,
  switchedOff: 'nothing: it has no guard',
  scenario: 'pod frozen',
  expected: ['stale-start', 'overlap'],
  async run(stack, folder, rounds) {
    const found = peers.find((each) => each.name === name);
    if (!found) throw new Error(`there is no peer ${name}`);
    await found.install(() => undefined);
    await runPeerControl(found, stack, folder, { etcdPrefix, rounds, ttlMs });
  },
});

export const controls: readonly Control[] = [
  baton('baton', 'nothing', 'pod frozen', []),
  baton('baton-agent', 'nothing', 'agent frozen', []),
  baton('baton-deleted', 'nothing', 'holder deleted', []),
  baton('guard', 'the guard', 'holder deleted', ['start-without-lock'], {
    mutations: mutations.guardOff,
  }),
  baton('deadline', 'the deadline kill, and the watchdog', 'agent frozen', ['overlap'], {
    mutations: mutations.deadlineKillOff,
  }),
  baton(
    'guard-and-deadline',
    'the guard, the deadline kill and the watchdog',
    'pod frozen',
    ['stale-start'],
    {
      mutations: [...mutations.guardOff, ...mutations.deadlineKillOff],
    },
  ),
  baton('store', "the store's check of the token", 'pod frozen', ['sink-accepted-stale'], {
    checksToken: false,
  }),
  peer('etcd election', (lock) => `/${lock}/`),
  peer('client-go', () => '/baton-bench/kubernetes/leases/'),
];

/** Runs one control in a folder of its own below `folder` and has the checker judge it. */
export async function judgeControl(
  control: Control,
  stack: DevStack,
  folder: string,
  rounds: number,
): Promise<ControlResult> {
  const place = join(folder, control.id);
  await control.run(stack, place, rounds);
  const report = await checkRun(place);
  const flagged: Partial<Record<ViolationKind, number>> = {};
  for (const { kind } of report.violations) flagged[kind] = (flagged[kind] ?? 0) + 1;
  const { expected } = control;
  const asExpected =
    expected.length === 0
      ? report.violations.length === 0
      : report.violations.some(({ kind }) => expected.includes(kind));
  return { control, report, flagged, asExpected };
}
