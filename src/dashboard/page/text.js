/** Times, spans and figures as an operator reads them. */

let offsetMs = 0;

/** The server's clock, by which everything is dated. */
export const now = () => Date.now() + offsetMs;
export const setServerTime = (ms) => {
  offsetMs = ms - Date.now();
};

/** `3d 4h`, `12m 5s`, `8 s`, `41 ms`. */
export function span(ms) {
  if (ms < 1000) return `${Math.max(0, Math.round(ms))} ms`;
  const seconds = Math.floor(ms / 1000);
  if (seconds < 60) return `${seconds} s`;
  const units = [
    ['d', Math.floor(seconds / 86_400)],
    ['h', Math.floor(seconds / 3600) % 24],
    ['m', Math.floor(seconds / 60) % 60],
    ['s', seconds % 60],
  ];
  const first = units.findIndex(([, count]) => count > 0);
  return units
    .slice(first, first + 2)
    .filter(([, count]) => count > 0)
    .map(([unit, count]) => `${count}${unit}`)
    .join(' ');
}

const clock = new Intl.DateTimeFormat(undefined, {
  hour: '2-digit',
  minute: '2-digit',
  second: '2-digit',
  hourCycle: 'h23',
});
const dated = new Intl.DateTimeFormat(undefined, {
  month: 'short',
  day: 'numeric',
  hour: '2-digit',
  minute: '2-digit',
  second: '2-digit',
  hourCycle: 'h23',
});

/** Local time; with its date when that is another day than today. */
export function time(at) {
  const ms = typeof at === 'number' ? at : Date.parse(at);
  if (Number.isNaN(ms)) return 'unknown';
  const sameDay = new Date(ms).toDateString() === new Date(now()).toDateString();
  return (sameDay ? clock : dated).format(ms);
}

export const shortTime = (ms, withSeconds) => {
  const text = clock.format(ms);
  return withSeconds ? text : text.slice(0, 5);
};

export function ago(at) {
  const ms = typeof at === 'number' ? at : Date.parse(at);
  return Number.isNaN(ms) ? 'unknown' : span(Math.max(0, now() - ms));
}

export function figure(value, unit) {
  if (value === null || value === undefined) return '–';
  const digits = value >= 100 || value === 0 ? 0 : value >= 10 ? 1 : 2;
  return `${value.toLocaleString('en', { maximumFractionDigits: digits })}${unit}`;
}

export const count = (value) => value.toLocaleString('en');

const causes = {
  first: 'first holder',
  takeover: 'takeover',
  switch: 'planned switch',
  shutdown: 'shutdown',
  'listener-restart': 'listener restart',
  release: 'release',
  force: 'forced',
};
export const causeText = (cause) => causes[cause] ?? cause;

export const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;

export const gapText = ({ gapMs, firstStartedAt, from }) => {
  if (gapMs !== null) return span(gapMs);
  if (from === null) return 'none: nobody before';
  return firstStartedAt === null ? 'unknown: no message yet' : 'unknown';
};

export const wayText = ({ from, to }) => `${from?.region ?? 'nobody'} → ${to?.region ?? 'nobody'}`;
