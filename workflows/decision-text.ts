import type { Receipt, Tenure } from './contract';

export const seconds = (ms: number): string => `${(ms / 1_000).toFixed(1)} s`;

export const holderText = (holder: Tenure | null): string =>
  holder ? `${holder.region}/${holder.pod} with token ${holder.token} as holder` : 'no holder';

export function doneText(receipt: Receipt | null): string {
  if (!receipt?.to) return 'the lock was released';
  const gap = receipt.gapMs === null ? '' : ` after a gap of ${receipt.gapMs} ms`;
  return `${receipt.to.region}/${receipt.to.pod} took over with token ${receipt.to.token}${gap}`;
}
