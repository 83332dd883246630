import type { DevStack } from '../dev/dev-stack';
import type { Proxy } from '../dev/toxiproxy-server';

export interface Addresses {
  amqpUrl: string;
  etcdAddresses: string[];
}

let opened = 0;

/** etcd and the broker as seen from far away: Toxiproxy holds each direction back by half of the round trip. */
export class DelayedServers {
  private constructor(
    readonly addresses: Addresses,
    private readonly proxies: Proxy[],
  ) {}

  static async open(stack: DevStack, roundTripMs: number): Promise<DelayedServers> {
    const url = new URL(stack.rabbitmqUrl);
    const broker = await delayed(stack, url.host, roundTripMs);
    const etcd: Proxy[] = [];
    for (const address of stack.etcdAddresses) etcd.push(await delayed(stack, address, roundTripMs));
    const [host = '', port = ''] = broker.address.split(':');
    url.hostname = host;
    url.port = port;
    const addresses = { amqpUrl: url.href, etcdAddresses: etcd.map(({ address }) => address) };
    return new DelayedServers(addresses, [broker, ...etcd]);
  }

  async close(): Promise<void> {
    for (const proxy of this.proxies) await proxy.remove();
  }
}

async function delayed(stack: DevStack, upstream: string, roundTripMs: number): Promise<Proxy> {
  const proxy = await stack.toxiproxy.proxy(`bench-${++opened}`, upstream);
  for (const direction of ['upstream', 'downstream'] as const)
    await proxy.addToxic(direction, direction, { type: 'latency', attributes: { latency: roundTripMs / 2 } });
  return proxy;
}
