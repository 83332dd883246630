import { UsageError } from './command-line';

const units: Record<string, number> = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** `90s`, `10m`, `12h`, `7d` in ms; `null` for anything else. */
export function readSpan(text: string): number | null {
  const [, count, unit = ''] = /^(\d{1,6})([smhd])$/.exec(text) ?? [];
  return count === undefined ? null : Number(count) * (units[unit] ?? 0);
}

/** @throws UsageError for what is no date like 2026-11-21T08:00Z. */
export function readDate(option: string, text: string, also: string): Date {
  const date = new Date(text);
  if (/^\d{4}-\d{2}-\d{2}/.test(text) && !Number.isNaN(date.getTime())) return date;
  throw new UsageError(`${option} is ${text}: must be ${also}a date like 2026-11-21T08:00Z`);
}
