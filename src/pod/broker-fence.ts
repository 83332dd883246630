import type { BrokerFence } from '../../workflows/contract';
import type { RegionSettings } from '../config/config';
import { connectionName } from '../listener/connection-name';
import { managementFailure, ManagementApi } from '../rabbitmq/management-api';

/** For the list and all that is closed: a broker that hangs must not hold up a force. */
const limitMs = 2_000;
const reason = 'Baton: the lock was taken from this pod by force';

/** Whose connections: also those of a spare listener, which has the same name. */
export interface FencedHolder {
  region: string;
  pod: string;
}

/**
 * Has the broker close the connections of a holder from which the lock was taken: nothing is delivered to it any more,
 * and what it has not acknowledged is in the queue again before its deadline. It is no part of the fencing, which is done
 * in etcd: a listener that connects again is refused by its guard. So it never throws, and takes two seconds at most.
 *
 * Over RabbitMQ's management API. Its user needs the tag `management` and be the one that the pods log in with, or
 * `administrator`.
 */
export async function closeConnections(
  regions: RegionSettings[],
  lock: string,
  holder: FencedHolder,
): Promise<BrokerFence> {
  const { region, pod } = holder;
  const given = regions.find(({ name }) => name === region)?.managementUrl;
  if (given === undefined)
    return {
      outcome: 'not-configured',
      closed: 0,
      why: `no connection was closed: regions.${region}.managementUrl is not configured`,
    };
  const management = new ManagementApi(given, limitMs);
  let found: string[];
  try {
    found = await management.connectionsNamed(connectionName(lock, region, pod));
  } catch (error) {
    const why = `the broker of ${region} could not be asked to close the connections of ${pod}: ${managementFailure(error)}`;
    return { outcome: 'failed', closed: 0, why };
  }
  const results = await Promise.allSettled(found.map((name) => management.closeConnection(name, reason)));
  const closed = results.filter(({ status }) => status === 'fulfilled').length;
  const failed = results.find((result) => result.status === 'rejected');
  if (failed)
    return {
      outcome: 'failed',
      closed,
      why: `the broker of ${region} closed ${closed} of ${found.length} connections of ${pod}: ${managementFailure(failed.reason)}`,
    };
  const count = closed === 1 ? '1 connection' : `${closed} connections`;
  return { outcome: 'closed', closed, why: `the broker of ${region} closed ${count} of ${pod}` };
}
