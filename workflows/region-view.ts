import type { RegionStatus, SwitchOutcome } from './contract';
import type { RegionState } from './region-state';

/** The answer to the status query. */
export function statusOf(state: RegionState): RegionStatus {
  const { lock, region, phase, tenure, why, beat, receipts, attempts, runs, signals, silentBeats } = state;
  const running = runningOutcome(state);
  return {
    lock,
    region,
    phase,
    tenure,
    why,
    pods: state.pods.map(({ pod, awaiting, unanswered }) => ({
      pod,
      awaiting: awaiting !== null,
      silent: unanswered > 0 || (pod === tenure?.pod && silentBeats > 0),
    })),
    beat,
    lastSwitches: running ? [running, ...state.lastSwitches] : state.lastSwitches,
    receipts,
    attempts,
    runs,
    signals,
    silentBeats,
  };
}

/** The switch under way, if there is one. */
export function runningOutcome({ switch: present }: RegionState): SwitchOutcome | null {
  if (!present) return null;
  const { request, why, receipt, steps } = present;
  return { ...request, result: 'running', why, receipt, ...(steps === undefined ? {} : { steps }) };
}

/** What the Temporal UI shows as the workflow's current details, in Markdown. */
export function detailsOf(state: RegionState): string {
  const { tenure, beat, silentBeats, pods } = state;
  const lines = [
    `**${state.phase}** — ${state.why}`,
    '',
    '| | |',
    '|---|---|',
    `| holder | ${tenure ? `\`${tenure.pod}\`${silentBeats > 0 ? ` (no answer, ${silentBeats} in a row)` : ''}` : 'not in this region'} |`,
    `| token | ${tenure?.token ?? `none (highest so far ${state.topToken})`} |`,
    `| since | ${tenure?.since ?? '–'} |`,
    `| last beat | ${beat ? `${beat.outcome}, in flight ${beat.inFlight} (${beat.at})` : '–'} |`,
    `| pods | ${pods.map(podText).join(', ') || 'none'} |`,
    `| last change | ${changeText(state)} |`,
  ];
  return lines.join('\n');
}

const podText = ({ pod, unanswered, stopping }: RegionState['pods'][number]): string =>
  `\`${pod}\`${stopping ? ' (stops)' : unanswered > 0 ? ' (no answer)' : ''}`;

function changeText({ receipts: [last] }: RegionState): string {
  if (!last) return '–';
  const party = (side: typeof last.from): string => (side ? `${side.region}/${side.pod}` : 'nobody');
  return `${last.cause}: ${party(last.from)} → ${party(last.to)}, ${last.why} (${last.at})`;
}
