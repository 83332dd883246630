import type { InjectedSinks, WorkerInterceptors } from '@temporalio/worker';
import type { EndedSwitch, TraceSinks } from '../../workflows/contract';
import { isRecord } from '../../workflows/shape';
import { readTrace } from '../../workflows/trace-context';
import type { Tracing } from '../telemetry/tracing';

/**
 * A span for each activity that is part of a traced switch, and none for beats and the like: those would be one endless
 * trace of whoever started the workflow. The context comes and goes with the activity's input.
 */
export const activityInterceptors = (tracing: Tracing): WorkerInterceptors =>
  tracing.isOn
    ? {
        activity: [
          ({ info }) => ({
            inbound: {
              execute(input, next) {
                const [given, ...rest] = input.args;
                const parent = isRecord(given) ? readTrace(given['trace']) : undefined;
                if (!isRecord(given) || !parent) return next(input);
                const { activityType, taskQueue, attempt, workflowExecution } = info;
                const attributes = {
                  'temporal.activity.type': activityType,
                  'temporal.task_queue': taskQueue,
                  'temporal.activity.attempt': attempt,
                  'temporal.workflow.id': workflowExecution?.workflowId,
                };
                return tracing.span(
                  `activity ${activityType}`,
                  { parent, kind: 'server', attributes },
                  ({ context }) => next({ ...input, args: [{ ...given, trace: context }, ...rest] }),
                );
              },
            },
          }),
        ],
      }
    : {};

/** A workflow's own span, written when its switch has ended; not again when the run is replayed. */
export const traceSinks = (tracing: Tracing): InjectedSinks<TraceSinks> => ({
  tracing: {
    switchEnded: {
      fn: ({ workflowId, runId }, ended) => writeSwitch(tracing, ended, { workflowId, runId }),
    },
  },
});

function writeSwitch(
  tracing: Tracing,
  {
    lock,
    region,
    switchId,
    to,
    reason,
    by,
    result,
    why,
    steps = [],
    trace,
    span: identity,
    endedAt,
  }: EndedSwitch,
  { workflowId, runId }: { workflowId: string; runId: string },
): void {
  if (!tracing.isOn) return;
  const span = tracing.begin('region workflow: switch', {
    parent: trace,
    identity,
    ...(steps[0] && { startedAt: Date.parse(steps[0].at) }),
    attributes: {
      'baton.lock': lock,
      'baton.region': region,
      'baton.switch_id': switchId,
      'baton.to': to ?? undefined,
      'baton.reason': reason,
      'baton.by': by,
      'baton.outcome': result,
      'temporal.workflow.id': workflowId,
      'temporal.run.id': runId,
    },
  });
  for (const { step, at } of steps) span.event(step, Date.parse(at));
  if (result !== 'done') span.fail(why);
  span.end(endedAt);
}
