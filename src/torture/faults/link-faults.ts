import { setTimeout as sleep } from 'node:timers/promises';
import type { Direction, Proxy, Toxic } from '../../dev/toxiproxy-server';
import type { PlannedFault } from '../schedule';
import type { FaultContext, FaultMaker } from './fault';

type Disturbance = { direction: Direction; toxic: Toxic };

/** Lets nothing through, and keeps the connection open. */
const blackHole: Toxic = { type: 'timeout', attributes: { timeout: 0 } };
const resetEveryMs = 700;

interface Link {
  name: string;
  proxies: Proxy[];
}

function linkOf({ role, server }: PlannedFault, { system, busyPods }: FaultContext): Link {
  const pod = system.podInRole(role ?? 'holder', busyPods);
  busyPods.add(pod.name);
  return { name: `${pod.name} to ${server}`, proxies: system.links.get(pod.name)![server ?? 'etcd'] };
}

/** Disturbs all connections between a pod and a server until the end. */
const disturb =
  (disturbances: (strength: number) => Disturbance[]): FaultMaker =>
  async (plan, context) => {
    const link = linkOf(plan, context);
    const toxics = disturbances(plan.strength).map((each, i) => ({ ...each, name: `fault-${plan.id}-${i}` }));
    const each = (act: (proxy: Proxy, toxic: (typeof toxics)[number]) => Promise<void>): Promise<unknown> =>
      Promise.all(link.proxies.flatMap((proxy) => toxics.map((toxic) => act(proxy, toxic))));
    await each((proxy, { name, direction, toxic }) => proxy.addToxic(name, direction, toxic));
    const end = async (): Promise<void> => {
      await each((proxy, { name }) => proxy.removeToxic(name));
    };
    return { target: link.name, end };
  };

const both = (toxic: Toxic): Disturbance[] => [
  { direction: 'upstream', toxic },
  { direction: 'downstream', toxic },
];

/** A reset ends the connections of the moment; new ones work until the next. */
const resets: FaultMaker = async (plan, context) => {
  const link = linkOf(plan, context);
  const over = new AbortController();
  const reset = async (proxy: Proxy): Promise<void> => {
    const name = `fault-${plan.id}`;
    await proxy.addToxic(name, 'downstream', { type: 'reset_peer', attributes: { timeout: 0 } });
    await proxy.removeToxic(name);
  };
  const again = (async () => {
    while (!over.signal.aborted) {
      await Promise.all(link.proxies.map((proxy) => reset(proxy)));
      await sleep(resetEveryMs, undefined, { signal: over.signal }).catch(() => undefined); // Ended below.
    }
  })();
  again.catch(() => undefined); // Told by `end`.
  const end = async (): Promise<void> => {
    over.abort();
    await again;
  };
  return { target: link.name, end };
};

export const linkFaults = {
  'net-cut': disturb(() => both(blackHole)),
  'net-requests-lost': disturb(() => [{ direction: 'upstream', toxic: blackHole }]),
  'net-answers-lost': disturb(() => [{ direction: 'downstream', toxic: blackHole }]),
  'net-delay': disturb((strength) => {
    const latency = Math.round(50 + strength * 750);
    return both({ type: 'latency', attributes: { latency, jitter: Math.round(latency / 4) } });
  }),
  'net-slow': disturb((strength) =>
    both({ type: 'bandwidth', attributes: { rate: Math.round(4 + strength * 56) } }),
  ),
  'net-loss': disturb((strength) =>
    both({ type: 'limit_data', attributes: { bytes: Math.round(2_000 + strength * 60_000) } }),
  ),
  'net-reset': resets,
} as const satisfies Record<string, FaultMaker>;
