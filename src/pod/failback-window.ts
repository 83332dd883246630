import { type FailbackSettings, type Weekday, weekdays } from '../config/config';

/**
 * Whether `now`, in ms since 1970, lies in one of the windows; without windows it always does. They are compared with
 * what a clock on the wall there shows, so on the days when it is set a window is an hour longer or shorter: an hour
 * that is shown twice is in it twice, one that is left out not at all.
 */
export function isOpen(
  { windows, timeZone }: Pick<FailbackSettings, 'windows' | 'timeZone'>,
  now: number,
): boolean {
  if (windows.length === 0) return true;
  const { day, time } = wallClock(timeZone, now);
  return windows.some(({ days, from, to }) => {
    const isOn = (index: number): boolean => days.length === 0 || days.includes(nameOf(index));
    if (from < to) return isOn(day) && from <= time && time < to;
    return (isOn(day) && from <= time) || (isOn(day - 1) && time < to);
  });
}

const nameOf = (index: number): Weekday => weekdays[(index + 7) % 7] as Weekday;

/** `day` counts from Sunday, `time` is `HH:MM`. */
function wallClock(timeZone: string, now: number): { day: number; time: string } {
  const parts = new Intl.DateTimeFormat('en-US', {
    timeZone,
    weekday: 'short',
    hour: '2-digit',
    minute: '2-digit',
    hourCycle: 'h23',
  }).formatToParts(now);
  const of = (type: string): string => parts.find((part) => part.type === type)?.value ?? '';
  return {
    day: weekdays.indexOf(of('weekday').toLowerCase() as Weekday),
    time: `${of('hour')}:${of('minute')}`,
  };
}
