import { setTimeout as sleep } from 'node:timers/promises';

/**
 * Repeats `check` until it no longer throws. The limit costs nothing where all is well, so it leaves room for a
 * machine that is slow and stalls. @throws its last error when that takes longer than `limitMs`.
 */
export async function eventually<T>(check: () => T | Promise<T>, limitMs = 20_000): Promise<T> {
  const giveUpAt = Date.now() + limitMs;
  for (;;) {
    try {
      return await check();
    } catch (error) {
      if (Date.now() > giveUpAt) throw error;
    }
    await sleep(20);
  }
}
