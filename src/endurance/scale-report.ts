import { type Conditions, conditionsText } from '../bench/bench-file';
import { figure } from '../bench/figure';
import { fields, table } from '../cli/table';
import type { ScaleResult } from './scale';
import type { Percentiles } from './takeover';

export function scaleText(result: ScaleResult, conditions: Conditions): string {
  const { steady, plan, problems } = result;
  const usage = [...steady.processes, ...steady.servers].map(({ name, cpuPercent, memoryMb }) => [
    name,
    figure(cpuPercent),
    figure(memoryMb),
  ]);
  const warnings = result.warnings.slice(0, 5).map(({ text, count }) => `- ${count} × ${text}`);
  const methods = Object.entries(steady.etcdByMethod)
    .toSorted(([, a], [, b]) => b - a)
    .map(([method, count]): [string, string] => [`etcd ${method}/s`, figure(count)]);
  return [
    table(['process', '% of a core', 'MB'], usage, Infinity),
    fields([...summary(result), ...methods]),
    ...(warnings.length > 0 ? [['the pods warned of', ...warnings].join('\n')] : []),
    problems.length === 0
      ? `verdict: ${plan.locks} locks stay inside their bounds`
      : ['verdict: NOT inside the bounds', ...problems].join('\n- '),
    fields(conditionsText(conditions)),
  ].join('\n\n');
}

export const scaleJson = (result: ScaleResult): string => JSON.stringify(result);

function summary(result: ScaleResult): [string, string][] {
  const { plan, startSeconds, steady, takeover, boundMs, messages, heldByKilled } = result;
  const sum = (of: 'cpuPercent' | 'memoryMb'): number =>
    steady.processes.reduce((total, each) => total + each[of], 0);
  return [
    [
      'scale',
      `${plan.locks} locks, 2 regions with 2 pods each, TTL ${plan.ttlSeconds} s, ${plan.rate} messages/s`,
    ],
    [
      'start',
      `held after ${figure(startSeconds.held)} s, all pods ready after ${figure(startSeconds.ready)} s`,
    ],
    [
      'per lock, all pods',
      `${figure(sum('cpuPercent') / plan.locks)} % of a core, ${figure(sum('memoryMb') / plan.locks)} MB`,
    ],
    [
      'etcd requests/s',
      `${figure(steady.etcdPerSecond)}, ${figure(steady.etcdPerSecond / plan.locks)} per lock`,
    ],
    [
      'Temporal',
      `${figure(steady.eventsPerHourPerLock * plan.locks)} events/h, ${figure(steady.eventsPerHourPerLock)} per lock` +
        (steady.actionsPerHour === null ? '' : `; ${figure(steady.actionsPerHour)} billable actions/h`),
    ],
    [
      'extensions',
      `no lease seen without one for more than ${steady.longestWithoutExtensionS} s (${steady.leasesSeen} looks), ${result.steadyChanges} changes of holder`,
    ],
    [
      'takeover',
      `${takeover.outageMs.n} of ${heldByKilled} locks: ${percentilesText(takeover.outageMs)} from the kill (bound ${boundMs} ms), ` +
        `${percentilesText(takeover.takeoverMs)} from etcd's letting go`,
    ],
    ['gap between messages', percentilesText(messages.gapMs)],
    [
      'messages',
      `${messages.published} published, ${messages.processed} worked on, ${messages.lost} lost, ${messages.duplicates} twice as the death allows, ` +
        `${messages.forbiddenDuplicates} otherwise, ${messages.overlaps} overlapping`,
    ],
  ];
}

const percentilesText = ({ p50, p99, max }: Percentiles): string =>
  `p50 ${figure(p50)}, p99 ${figure(p99)}, max ${figure(max)} ms`;
