import { setTimeout as sleep } from 'node:timers/promises';

/** What is measured is read from the ledger, so looking seldom costs no precision, and looking often the processor. */
const pollMs = 20;

/** Polls until it holds (true) or the limit has passed (false). @throws the signal's reason when that fires. */
export async function waitUntil(
  check: () => boolean,
  limitMs: number,
  signal: AbortSignal,
): Promise<boolean> {
  const giveUpAt = performance.now() + limitMs;
  for (;;) {
    signal.throwIfAborted();
    if (check()) return true;
    if (performance.now() > giveUpAt) return false;
    await sleep(pollMs);
  }
}

/** @throws the signal's reason when that fires. */
export async function pause(ms: number, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  await sleep(ms, undefined, { signal }).catch(() => signal.throwIfAborted());
}
