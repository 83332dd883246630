import type { CheckReport } from './checker/check-report';
import { reportText as checkerText } from './checker/report-text';
import type { NemesisFinding } from './nemesis';
import type { TortureOptions } from './torture-options';

export interface TortureResult {
  options: TortureOptions;
  checked: CheckReport;
  findings: NemesisFinding[];
  /** Planned switches asked for, and those that were carried out. */
  switches: { asked: number; done: number };
  unexpectedExits: string[];
  /** Faults of this run's list that this machine could not do, with why. */
  skipped: string[];
  runFolder: string | null;
}

export const failed = ({ checked, findings }: TortureResult): boolean =>
  checked.violations.length > 0 || findings.length > 0;

export function tortureText(result: TortureResult): string {
  const { options, checked, findings, switches, unexpectedExits, skipped, runFolder } = result;
  const { seed, minutes, rate } = options;
  return [
    `seed ${seed}, ${minutes} min, ${rate} messages/s`,
    '',
    checkerText(checked),
    `planned switches ${switches.asked} asked for, ${switches.done} carried out`,
    ...unexpectedExits.map((each) => `exit             ${each}`),
    ...skipped.map((each) => `skipped          ${each}`),
    ...findings.flatMap(({ kind, text }) => [
      '',
      kind === 'liveness' ? `VIOLATION liveness: ${text}` : `THE RIG FAILED: ${text}`,
    ]),
    '',
    ...(runFolder === null ? [] : [`everything that was seen: ${runFolder}`]),
    `again: npm run torture -- --minutes ${minutes} --seed ${seed}${again(options)}`,
    failed(result) ? 'FAILED' : 'PASSED',
  ].join('\n');
}

/** The last line of `--json`. */
export function tortureJson({ options, checked, findings }: TortureResult): string {
  const { seed, minutes } = options;
  const { faults, tenures, published, processed, lost } = checked;
  const { duplicatesAllowed, duplicatesForbidden, overlaps, staleEffects } = checked;
  const gaps = Object.fromEntries(
    Object.entries(checked.gaps).map(([cause, { n, p50, max }]) => [cause, { n, p50, max }]),
  );
  const found = [
    ...checked.violations.map(({ kind, text }) => ({ kind, text })),
    ...findings.map(({ kind, text }) => ({ kind: kind as string, text })),
  ];
  const counts = { tenures, published, processed, lost, duplicatesAllowed, duplicatesForbidden };
  return JSON.stringify({
    seed,
    minutes,
    faults,
    ...counts,
    overlaps,
    staleEffects,
    gaps,
    violations: found,
  });
}

const again = ({ given }: TortureOptions): string => (given === null ? '' : ` --faults ${given}`);
