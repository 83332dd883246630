import type { Config } from '../config/config';
import { ConfigError } from '../config/config-error';
import { measureEtcd } from './etcd-checkup';
import { brokenRelations } from './timing-budget';

/** A pod starts without etcd, too; so it does not wait long for it. */
const leastLimitMs = 2_000;

/**
 * Measures the way to etcd before a pod starts. What breaks a relation even with the shortest of several round trips
 * cannot be safe, or cannot work. Where etcd gives no answer nothing is refused: the pod waits for it.
 *
 * @throws ConfigError naming every setting that has to change.
 */
export async function checkBeforeStart(config: Config): Promise<{ measured: string }> {
  const limitMs = Math.max(leastLimitMs, ...config.locks.map((lock) => 2 * lock.requestTimeoutMs));
  let best: number;
  try {
    ({ best } = await measureEtcd(config.etcd, limitMs));
  } catch (error) {
    return { measured: `the round trip to etcd is not known: ${(error as Error).message}` };
  }
  const problems = config.locks.flatMap((settings) =>
    brokenRelations(settings, best).map(({ setting, value, expected }) => ({
      setting: `locks.${settings.name}.${setting}`,
      value,
      expected: `must be ${expected}`,
    })),
  );
  if (problems.length > 0) throw new ConfigError(problems);
  return { measured: `a round trip to etcd takes ${best} ms at best` };
}
