import type { BrokerFence } from '../../workflows/contract';
import type { RegionSettings } from '../config/config';
import { connectionName } from '../listener/connection-name';

/** For the list and all that is closed: a broker that hangs must not hold up a force. */
const limitMs = 2_000;
/** Of the list: ten thousand connections take a tenth of it. */
const maxListBytes = 16 * 1024 * 1024;
const reason = 'Baton: the lock was taken from this pod by force';

interface BrokerConnection {
  name: string;
  client_properties?: { connection_name?: unknown };
}

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
  const management = new Management(given, AbortSignal.timeout(limitMs));
  let found: string[];
  try {
    found = await management.connectionsNamed(connectionName(lock, region, pod));
  } catch (error) {
    const why = `the broker of ${region} could not be asked to close the connections of ${pod}: ${reasonOf(error)}`;
    return { outcome: 'failed', closed: 0, why };
  }
  const results = await Promise.allSettled(found.map((name) => management.close(name)));
  const closed = results.filter(({ status }) => status === 'fulfilled').length;
  const failed = results.find((result) => result.status === 'rejected');
  if (failed)
    return {
      outcome: 'failed',
      closed,
      why: `the broker of ${region} closed ${closed} of ${found.length} connections of ${pod}: ${reasonOf(failed.reason)}`,
    };
  const count = closed === 1 ? '1 connection' : `${closed} connections`;
  return { outcome: 'closed', closed, why: `the broker of ${region} closed ${count} of ${pod}` };
}

/** The few calls of RabbitMQ's management API that are needed, within one time limit. */
class Management {
  private readonly base: string;
  private readonly authorization: string;

  constructor(
    address: string,
    private readonly signal: AbortSignal,
  ) {
    const { origin, pathname, username, password } = new URL(address);
    this.base = `${origin}${pathname.replace(/\/$/, '')}/api`;
    // fetch refuses an address with credentials in it.
    const credentials = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`;
    this.authorization = `Basic ${Buffer.from(credentials).toString('base64')}`;
  }

  async connectionsNamed(wanted: string): Promise<string[]> {
    const response = await this.ask('GET', '/connections?columns=name,client_properties');
    const listed: unknown = JSON.parse(await limitedText(response));
    if (!Array.isArray(listed)) throw new Error('it answered with something else than a list');
    return (listed as (Partial<BrokerConnection> | null)[]).flatMap((each) =>
      each?.client_properties?.connection_name === wanted && typeof each.name === 'string' ? [each.name] : [],
    );
  }

  async close(name: string): Promise<void> {
    const response = await this.ask('DELETE', `/connections/${encodeURIComponent(name)}`, {
      'X-Reason': reason,
    });
    await response.body?.cancel();
  }

  private async ask(method: string, path: string, headers: Record<string, string> = {}): Promise<Response> {
    const response = await fetch(`${this.base}${path}`, {
      method,
      headers: { authorization: this.authorization, ...headers },
      // The credentials are for this address only.
      redirect: 'error',
      signal: this.signal,
    });
    // Not there any more is what was wanted.
    if (response.ok || (method === 'DELETE' && response.status === 404)) return response;
    await response.body?.cancel();
    throw new Error(`it answered ${response.status} ${response.statusText}`.trim());
  }
}

async function limitedText({ body }: Response): Promise<string> {
  const parts: Uint8Array[] = [];
  let bytes = 0;
  for await (const part of body ?? []) {
    parts.push(part as Uint8Array);
    bytes += (part as Uint8Array).length;
    if (bytes > maxListBytes) throw new Error(`its list is longer than ${maxListBytes} bytes`);
  }
  return Buffer.concat(parts).toString('utf8');
}

/** fetch says only "fetch failed"; what failed is in the cause. */
function reasonOf(error: unknown): string {
  const { name, message, cause } = error as Error & { cause?: Partial<Error> };
  if (name === 'TimeoutError') return `no answer within ${limitMs / 1000} s`;
  return cause?.message || message;
}
