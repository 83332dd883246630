import { randomUUID } from 'node:crypto';
import {
  type Client,
  type ScheduleSpec,
  type ScheduleSummary,
  ScheduleNotFoundError,
  WorkflowNotFoundError,
} from '@temporalio/client';
import { regionTaskQueue } from '../../workflows/contract';
import {
  type DrillInput,
  type DrillReport,
  type GroupControl,
  groupControlSignal,
  type GroupInput,
  type GroupReport,
  type GroupStatus,
  groupStatusQuery,
  type SwitchReport,
} from '../../workflows/operations-contract';
import { UnsettledError } from '../client/errors';
import type { EndedDrill, Operations, Scheduled, ScheduledWork, ScheduleTime } from '../client/operations';
import { TemporalAwayError } from './temporal-away-error';

const callLimitMs = 5_000;
const schedulePrefix = { switch: 'baton-switch/', drill: 'baton-drill/' };

/** Drills, groups and schedules over one connection to Temporal. */
export class OperationsClient implements Operations {
  constructor(
    private readonly client: Client,
    private readonly address: string,
  ) {}

  startDrill(id: string, input: DrillInput, region: string): Promise<void> {
    return this.start('drillWorkflow', id, region, { ...input, region }, drillSummary(input));
  }

  drillResult(id: string): Promise<DrillReport | null> {
    return this.result(id);
  }

  lastDrills(limit: number): Promise<EndedDrill[]> {
    return this.bounded(async () => {
      const found: EndedDrill[] = [];
      const query = "WorkflowType = 'drillWorkflow' AND ExecutionStatus = 'Completed'";
      for await (const { workflowId, runId, closeTime, startTime } of this.client.workflow.list({ query })) {
        const report = (await this.client.workflow.getHandle(workflowId, runId).result()) as DrillReport;
        found.push({ workflowId, at: (closeTime ?? startTime).toISOString(), report });
        if (found.length >= limit) break;
      }
      return found;
    });
  }

  startGroup(id: string, input: GroupInput): Promise<void> {
    return this.start('groupSwitchWorkflow', id, input.to, input, `${input.locks.join(', ')} to ${input.to}`);
  }

  groupResult(id: string): Promise<GroupReport | null> {
    return this.result(id);
  }

  groupStatus(id: string): Promise<GroupStatus> {
    return this.bounded(() => this.client.workflow.getHandle(id).query(groupStatusQuery));
  }

  controlGroup(id: string, control: GroupControl): Promise<void> {
    return this.bounded(() => this.client.workflow.getHandle(id).signal(groupControlSignal, control));
  }

  async schedule(work: ScheduledWork, time: ScheduleTime): Promise<string> {
    const { memo, workflowType, input, region, summary } = plan(work);
    const { lock, to = 'crash' } = memo;
    const id = `${schedulePrefix[work.kind]}${lock}/${to}/${randomUUID().slice(0, 8)}`;
    const when = 'at' in time ? time.at.toISOString() : `${time.cron} (${time.timeZone ?? 'UTC'})`;
    await this.bounded(() =>
      this.client.schedule.create({
        scheduleId: id,
        spec: specOf(time),
        action: {
          type: 'startWorkflow',
          workflowType,
          args: [input],
          taskQueue: regionTaskQueue(region),
          workflowId: id,
          staticSummary: summary.slice(0, 200),
        },
        // One that could not run within ten minutes of its time is not run at all.
        policies: { overlap: 'SKIP', catchupWindow: '10 minutes' },
        ...('at' in time && { state: { remainingActions: 1 } }),
        memo: { ...memo, when },
      }),
    );
    return id;
  }

  async scheduled(): Promise<Scheduled[]> {
    return this.bounded(async () => {
      const found: Scheduled[] = [];
      for await (const summary of this.client.schedule.list())
        if (Object.values(schedulePrefix).some((prefix) => summary.scheduleId.startsWith(prefix)))
          found.push(await this.readSchedule(summary));
      return found.toSorted((a, b) => a.id.localeCompare(b.id));
    });
  }

  async cancelSchedule(id: string): Promise<boolean> {
    try {
      await this.client.withDeadline(Date.now() + callLimitMs, () =>
        this.client.schedule.getHandle(id).delete(),
      );
      return true;
    } catch (error) {
      if (error instanceof ScheduleNotFoundError) return false;
      throw new TemporalAwayError(this.address, error);
    }
  }

  private async readSchedule({ scheduleId: id, memo, info }: ScheduleSummary): Promise<Scheduled> {
    const text = (name: string): string => {
      const value = memo?.[name];
      return typeof value === 'string' ? value : '';
    };
    const workflowId = info.recentActions.at(-1)?.action.workflow.workflowId;
    const kind = kinds.find((each) => each === text('kind')) ?? 'switch';
    return {
      id,
      kind,
      lock: text('lock'),
      to: text('to') || null,
      reason: text('reason'),
      by: text('by'),
      when: text('when'),
      next: info.nextActionTimes[0]?.toISOString() ?? null,
      last: workflowId === undefined ? null : await this.lastRun(workflowId),
    };
  }

  private async lastRun(workflowId: string): Promise<SwitchReport | DrillReport | null> {
    try {
      const { status } = await this.client.workflow.getHandle(workflowId).describe();
      return status.name === 'COMPLETED' ? await this.result(workflowId) : null;
    } catch (error) {
      if (error instanceof WorkflowNotFoundError) return null;
      throw error;
    }
  }

  private async start(
    type: string,
    id: string,
    region: string,
    input: object,
    summary: string,
  ): Promise<void> {
    await this.bounded(() =>
      this.client.workflow.start(type, {
        args: [input],
        workflowId: id,
        taskQueue: regionTaskQueue(region),
        workflowIdConflictPolicy: 'FAIL',
        staticSummary: summary.slice(0, 200),
      }),
    );
  }

  /** @throws UnsettledError when the workflow was ended by somebody, and nobody goes on with it. */
  private async result<T>(id: string): Promise<T | null> {
    const handle = this.client.workflow.getHandle(id);
    const { status } = await this.bounded(() => handle.describe());
    const { name } = status;
    if (name === 'RUNNING') return null;
    if (name === 'COMPLETED') return this.bounded(async () => (await handle.result()) as T);
    throw new UnsettledError(
      `${id} was ${name.toLowerCase()} in Temporal: baton history shows how far it came`,
      id,
    );
  }

  private async bounded<T>(call: () => Promise<T>): Promise<T> {
    try {
      return await this.client.withDeadline(Date.now() + callLimitMs, call);
    } catch (error) {
      throw new TemporalAwayError(this.address, error);
    }
  }
}

const kinds: Scheduled['kind'][] = ['switch', 'drill', 'crash drill'];

const drillSummary = (input: DrillInput): string =>
  input.kind === 'crash' ? `crash drill of ${input.lock}` : `drill of ${input.lock} to ${input.to}`;

interface Plan {
  /** Shown by the list; Temporal keeps it with the schedule. */
  memo: { kind: Scheduled['kind']; lock: string; to?: string; reason: string; by: string };
  workflowType: string;
  input: object;
  region: string;
  summary: string;
}

function plan(work: ScheduledWork): Plan {
  if (work.kind === 'switch') {
    const { order } = work;
    return {
      memo: { kind: 'switch', ...order },
      workflowType: 'scheduledSwitchWorkflow',
      input: order,
      region: order.to,
      summary: `${order.lock} to ${order.to}: ${order.reason}`,
    };
  }
  const { input, region } = work;
  const { lock, reason, by } = input;
  return {
    memo:
      input.kind === 'crash'
        ? { kind: 'crash drill', lock, reason, by }
        : { kind: 'drill', lock, to: input.to, reason, by },
    workflowType: 'drillWorkflow',
    input: { ...input, region },
    region,
    summary: `${drillSummary(input)}: ${reason}`,
  };
}

function specOf(time: ScheduleTime): ScheduleSpec {
  if ('cron' in time) return { cronExpressions: [time.cron], timezone: time.timeZone ?? 'UTC' };
  const { at } = time;
  return {
    timezone: 'UTC',
    calendars: [
      {
        year: at.getUTCFullYear(),
        month: monthNames[at.getUTCMonth()] ?? 'JANUARY',
        dayOfMonth: at.getUTCDate(),
        hour: at.getUTCHours(),
        minute: at.getUTCMinutes(),
        second: at.getUTCSeconds(),
      },
    ],
  };
}

const monthNames = [
  'JANUARY',
  'FEBRUARY',
  'MARCH',
  'APRIL',
  'MAY',
  'JUNE',
  'JULY',
  'AUGUST',
  'SEPTEMBER',
  'OCTOBER',
  'NOVEMBER',
  'DECEMBER',
] as const;
