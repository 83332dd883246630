import type { ScheduleTime } from '../client/operations';
import { UsageError } from './command-line';
import { readDate } from './time-text';

/** Of the commands that can be scheduled. */
export const scheduleOptions = {
  at: { value: 'TIME', help: 'once at this time, as 2026-11-21T22:00Z' },
  cron: { value: 'CRON', help: 'again and again, as "0 22 * * *"' },
  'time-zone': { value: 'ZONE', help: 'of --cron, as Europe/Berlin (default: UTC)' },
} as const;

type ScheduleValues = { [K in keyof typeof scheduleOptions]: string | undefined };

/** `null`: now. @throws UsageError */
export function readScheduleTime({ at, cron, 'time-zone': timeZone }: ScheduleValues): ScheduleTime | null {
  if (at !== undefined && cron !== undefined)
    throw new UsageError('--at and --cron cannot be given together');
  if (timeZone !== undefined && cron === undefined) throw new UsageError('--time-zone is for --cron only');
  if (cron !== undefined) return { cron, ...(timeZone !== undefined && { timeZone }) };
  if (at === undefined) return null;
  const date = readDate('--at', at, '');
  if (date.getTime() <= Date.now()) throw new UsageError(`--at is ${at}: must be in the future`);
  return { at: date };
}
