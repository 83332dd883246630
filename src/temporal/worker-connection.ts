import { NativeConnection } from '@temporalio/worker';
import type { Config } from '../config/config';
import { connectLimitMs, orAway, temporalTarget } from './connection';

/** The workers' connection. Once connected it survives an outage. @throws TemporalAwayError as above. */
export async function connectWorkers(config: Config): Promise<NativeConnection> {
  return orAway(config, async () => {
    const connecting = NativeConnection.connect(temporalTarget(config).connectionOptions);
    let timer: NodeJS.Timeout | undefined;
    const limit = new Promise<null>((resolve) => {
      timer = setTimeout(() => resolve(null), connectLimitMs);
    });
    const connection = await Promise.race([connecting, limit]);
    clearTimeout(timer);
    if (connection) return connection;
    // It may still come to be, with nobody left to use it.
    connecting.then((late) => late.close()).catch(() => undefined);
    throw new Error(`no answer within ${connectLimitMs} ms`);
  });
}
