import { setTimeout as sleep } from 'node:timers/promises';
import type { Config, RegionSettings } from '../config/config';
import { ConfigError } from '../config/config-error';
import { EtcdClient } from '../etcd/etcd-client';
import { startLimitMs, whyNoAccess } from '../pod/access-check';
import { linearizableRead } from './etcd-checkup';
import { measureRoundTrip } from './round-trip';
import { brokenRelations } from './timing-budget';

/**
 * What a pod checks before it starts, all at the same time: servers that are away hold it up for `startLimitMs` at most, and
 * are no reason not to start. `refused`: servers that do not let it in, a sentence each. `measured`: the way to etcd.
 *
 * @throws ConfigError naming every setting that breaks a relation even with the shortest of several round trips: it
 *   cannot be safe, or cannot work.
 */
export async function checkBeforeStart(
  config: Config,
  region: RegionSettings,
): Promise<{ refused: string[]; measured: string }> {
  const limitMs = startLimitMs(config);
  const client = new EtcdClient(config.etcd, { requestTimeoutMs: limitMs });
  try {
    const [refused, best] = await Promise.all([
      whyNoAccess(config, region, client),
      bestTripMs(client, limitMs),
    ]);
    if (refused.length > 0 || typeof best === 'string')
      return { refused, measured: `the round trip to etcd is not known: ${best}` };
    const problems = config.locks.flatMap((settings) =>
      brokenRelations(settings, best).map(({ setting, value, expected }) => ({
        setting: `locks.${settings.name}.${setting}`,
        value,
        expected: `must be ${expected}`,
      })),
    );
    if (problems.length > 0) throw new ConfigError(problems);
    return { refused, measured: `a round trip to etcd takes ${best} ms at best` };
  } finally {
    client.close();
  }
}

/** Or why it is not known. Where etcd is far and has answered, one further answer is waited for. */
async function bestTripMs(client: EtcdClient, limitMs: number): Promise<number | string> {
  let answered = false;
  const read = async (): Promise<void> => {
    await linearizableRead(client);
    answered = true;
  };
  const trip = measureRoundTrip(read, { enoughMs: limitMs }).then(
    ({ best }) => best,
    (error: Error) => error.message,
  );
  const early = await Promise.race([trip, sleep(limitMs, null, { ref: false })]);
  if (early !== null) return early;
  return answered ? trip : `no answer within ${limitMs / 1000} s`;
}
