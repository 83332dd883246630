import type { PacketDirection } from '../pod-network';
import type { FaultMaker } from './fault';

/** Drops packets between a pod and a server until the end; connections stay as they are on both sides. */
const drop =
  (directions: readonly PacketDirection[], shareOf: (strength: number) => number = () => 1): FaultMaker =>
  async ({ role, server, strength }, { system, busyPods }) => {
    const pod = system.podInRole(role ?? 'holder', busyPods);
    busyPods.add(pod.name);
    const network = system.networks.get(pod.name);
    if (!network) throw new Error('the pod has no network of its own');
    const share = shareOf(strength);
    const proxies = system.links.get(pod.name)![server ?? 'etcd'];
    const ends: (() => Promise<void>)[] = [];
    for (const { address } of proxies)
      for (const direction of directions)
        ends.push(await network.drop(direction, Number(address.split(':').at(-1)), share));
    const end = async (): Promise<void> => {
      for (let undo = ends.shift(); undo; undo = ends.shift()) await undo();
    };
    return { target: `${pod.name} to ${server}`, end };
  };

export const packetFaults = {
  'packets-cut': drop(['out', 'in']),
  'packets-out-lost': drop(['out']),
  'packets-in-lost': drop(['in']),
  'packets-loss': drop(['out', 'in'], (strength) => 0.02 + strength * 0.28),
} as const satisfies Record<string, FaultMaker>;
