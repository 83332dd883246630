import type { Receipt, Tenure } from './contract';

export const seconds = (ms: number): string => `${(ms / 1_000).toFixed(1)} s`;

/** `4.0 s`, `12 min`, `3.5 h` or `2.1 days` since then; `now` in ms since 1970. */
export function age(since: string, now: number): string {
  const ms = now - Date.parse(since);
  if (Number.isNaN(ms)) return 'an unknown time';
  if (ms < 120_000) return seconds(Math.max(ms, 0));
  if (ms < 7_200_000) return `${Math.round(ms / 60_000)} min`;
  return ms < 172_800_000 ? `${(ms / 3_600_000).toFixed(1)} h` : `${(ms / 86_400_000).toFixed(1)} days`;
}

export const holderText = (holder: Tenure | null): string =>
  holder ? `${holder.region}/${holder.pod} with token ${holder.token} as holder` : 'no holder';

export function doneText(receipt: Receipt | null): string {
  if (!receipt?.to) return 'the lock was released';
  const gap = receipt.gapMs === null ? '' : ` after a gap of ${receipt.gapMs} ms`;
  return `${receipt.to.region}/${receipt.to.pod} took over with token ${receipt.to.token}${gap}`;
}
