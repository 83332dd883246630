import { regionWorkflowId } from '../../workflows/names';
import type { SimulatedPod } from './simulated-pod';
import type { SimulatedProcess } from './simulated-process';
import { members, type Site } from './site';
import type { Route } from './world';

type Fault = (site: Site) => string | null;

const short = (site: Site): number => site.world.between(20, site.settings.leaseTtlMs * 0.4);
/** Often longer than the TTL. */
const long = (site: Site): number => site.world.between(0.4, 2.2) * site.settings.leaseTtlMs;
const anyTime = (site: Site): number => (site.world.chance(0.4) ? short(site) : long(site));

function anyPod(site: Site): SimulatedPod | null {
  const { pods, judge, world } = site;
  if (pods.length === 0) return null;
  // The holder is where something can go wrong.
  const holder = pods.find(
    (pod) => pod.agent?.tenure != null && pod.agent.tenure.token === judge.holderToken,
  );
  return holder && world.chance(0.6) ? holder : world.pick(pods);
}

const ofPod =
  (fault: (site: Site, pod: SimulatedPod) => string): Fault =>
  (site) => {
    const pod = anyPod(site);
    return pod && fault(site, pod);
  };

function currentListener(pod: SimulatedPod): SimulatedProcess[] | null {
  const child = pod.children.findLast(({ main, isAlive }) => isAlive && main.frozenUntil < main.world.now);
  const first = pod.children.find(({ isAlive }) => isAlive) ?? child;
  return first ? [first.main, first.watchdog] : null;
}

function routeOf(pod: SimulatedPod, site: Site): Routes {
  const place = site.places.find((each) => each.pod === pod);
  if (!place) throw new Error(`${pod.id} is at no place`);
  return place.routes;
}
type Routes = Site['places'][number]['routes'];

function cut(site: Site, routes: Route[], ms: number): string {
  const { world } = site;
  const ways = world.pick([['there', 'back'], ['there'], ['back']] as const);
  for (const route of routes) for (const way of ways) route.cutUntil[way] = world.now + ms;
  return `${ways.join(' and ')} for ${Math.round(ms)} ms`;
}

/** Each kind of fault, and what it says it did. */
export const faults: Record<string, Fault> = {
  'freeze agent': ofPod((site, pod) => {
    const ms = anyTime(site);
    pod.agentProcess.freeze(ms);
    return `${pod.id} for ${Math.round(ms)} ms`;
  }),
  'freeze listener': ofPod((site, pod) => {
    const ms = anyTime(site);
    const threads = currentListener(pod) ?? [];
    for (const thread of threads) thread.freeze(ms);
    return `${threads[0]?.name} for ${Math.round(ms)} ms`;
  }),
  'freeze pod': ofPod((site, pod) => {
    const ms = anyTime(site);
    for (const thread of pod.threads) thread.freeze(ms);
    return `${pod.id} for ${Math.round(ms)} ms`;
  }),
  'suspend machine': ofPod((site, pod) => {
    // Its clock would have to go back to before what has been done already.
    if (pod.threads.some(({ isAhead }) => isAhead))
      return 'none: a process of it stands still within an event';
    const ms = anyTime(site);
    for (const thread of pod.threads) thread.freeze(ms);
    pod.machine.suspend(ms);
    site.world.shiftTimers(pod.threads, ms);
    return `${pod.machine.name} for ${Math.round(ms)} ms`;
  }),
  'stop listener between two instructions': ofPod((site, pod) => {
    const ms = anyTime(site);
    const threads = currentListener(pod);
    threads?.[0]?.stopWithin(site.world.whole(1, 60), ms, threads);
    return `${threads?.[0]?.name} for ${Math.round(ms)} ms`;
  }),
  'stop agent between two instructions': ofPod((site, pod) => {
    const ms = anyTime(site);
    pod.agentProcess.stopWithin(site.world.whole(1, 60), ms, [pod.agentProcess]);
    return `${pod.id} for ${Math.round(ms)} ms`;
  }),
  /** Between the lease's extension and the deadline's: then nothing more of etcd for a while. */
  'stop agent at a keepalive': ofPod((site, pod) => {
    const { world, settings } = site;
    const agent = pod.agentProcess;
    // At times so long that the deadline before it has not passed when it ends.
    const ms =
      (world.chance(0.5) ? world.between(0.28, 0.4) : world.between(0.2, 0.95)) * settings.leaseTtlMs;
    const reads = world.whole(1, 4);
    const silentMs = long(site);
    const { etcd } = routeOf(pod, site);
    site.atKeepAlive.set(agent, () => {
      agent.stopWithin(reads, ms, [agent]);
      world.after(ms + world.between(3, 30), () => {
        for (const route of Object.values(etcd)) route.cutUntil.there = world.now + silentMs;
      });
    });
    return `${pod.id} for ${Math.round(ms)} ms, then no etcd for ${Math.round(silentMs)} ms`;
  }),
  'block listener loop': ofPod((site, pod) => {
    const ms = anyTime(site);
    const main = currentListener(pod)?.[0];
    main?.stopWithin(site.world.whole(1, 30), ms, []);
    return `${main?.name} for ${Math.round(ms)} ms`;
  }),
  'kill agent': ofPod((site, pod) => {
    pod.agentProcess.kill('SIGKILL');
    rebootLater(site, pod);
    return pod.id;
  }),
  'kill listener': ofPod((_site, pod) => {
    const child = pod.children.find(({ isAlive }) => isAlive);
    child?.kill();
    return child?.main.name ?? 'nobody';
  }),
  'kill pod': ofPod((site, pod) => {
    pod.kill('power failure');
    rebootLater(site, pod);
    return pod.id;
  }),
  'stop pod': ofPod((site, pod) => {
    if (pod.isStopping || pod.agent === null) return 'nobody';
    pod.stop();
    rebootLater(site, pod);
    return pod.id;
  }),
  'cut pod from etcd': ofPod((site, pod) => {
    const { etcd } = routeOf(pod, site);
    return `${pod.id} ${cut(site, Object.values(etcd), anyTime(site))}`;
  }),
  'cut pod from one member': ofPod((site, pod) => {
    const { etcd } = routeOf(pod, site);
    return `${pod.id} ${cut(site, [etcd[site.world.pick(members)] as Route], anyTime(site))}`;
  }),
  'cut pod from broker': ofPod((site, pod) => {
    const { broker } = routeOf(pod, site);
    return `${pod.id} ${cut(site, [broker], anyTime(site))}`;
  }),
  'cut pod from everything': ofPod((site, pod) => {
    const { broker, etcd, temporal } = routeOf(pod, site);
    return `${pod.id} ${cut(site, [broker, temporal, ...Object.values(etcd)], anyTime(site))}`;
  }),
  'cut pod from temporal': ofPod((site, pod) => {
    const { temporal } = routeOf(pod, site);
    return `${pod.id} ${cut(site, [temporal], anyTime(site))}`;
  }),
  'slow etcd for pod': ofPod((site, pod) => {
    const ms = site.world.between(5, 150);
    const routes = Object.values(routeOf(pod, site).etcd);
    for (const route of routes) route.slowMs = ms;
    site.world.after(long(site), () => {
      for (const route of routes) route.slowMs = 0;
    });
    return `${pod.id} by ${Math.round(ms)} ms`;
  }),
  'late news of changes': (site) => {
    site.newsLateMs = site.world.between(1, 60);
    const told = `by ${site.newsLateMs.toFixed(1)} ms`;
    site.world.after(long(site), () => {
      site.newsLateMs = 0;
    });
    return told;
  },
  'stall etcd': ({ etcd, world, settings }) => {
    const ms = world.between(0.1, 0.9) * settings.leaseTtlMs;
    etcd.stalledUntil = world.now + ms;
    return `for ${Math.round(ms)} ms`;
  },
  'change leader': ({ etcd, world }) => {
    etcd.stalledUntil = world.now + world.between(20, 600);
    etcd.changeLeader();
    return `to term ${etcd.raftTerm}`;
  },
  'depose leader unnoticed': ({ etcd, world, settings }) => {
    const member = world.pick(members);
    const ms = world.between(0.5, 3) * settings.leaseTtlMs;
    etcd.deposed = { member, term: etcd.raftTerm, until: world.now + ms };
    etcd.changeLeader();
    return `${member} for ${Math.round(ms)} ms`;
  },
  /** The pod reaches no other member than one that believes to be leader: its lease is extended to no effect. */
  'partition with the old leader': ofPod((site, pod) => {
    const { etcd, world, settings } = site;
    const member = site.keptAliveBy.get(pod.agentProcess) ?? members[0];
    const until = world.now + world.between(0.9, 2.5) * settings.leaseTtlMs;
    etcd.deposed = { member, term: etcd.raftTerm, until };
    etcd.changeLeader();
    for (const [name, route] of Object.entries(routeOf(pod, site).etcd))
      if (name !== member) route.cutUntil = { there: until, back: until };
    return `${pod.id} and ${member} for ${Math.round(until - world.now)} ms`;
  }),
  /** It is applied when nobody waits for it any more, and a read has not shown it. */
  'late hand-over': (site) => {
    const ms = site.world.between(0.15, 0.4) * site.settings.leaseTtlMs;
    site.nextHandOver = () => ms;
    return `the next one by ${Math.round(ms)} ms`;
  },
  /** Whether it was applied, nobody can tell any more, whoever it was that sent it. */
  'hand-over whose sender dies': (site) => {
    const { world, settings } = site;
    const lateMs = world.chance(0.5) ? 0 : world.between(0, 0.4) * settings.leaseTtlMs;
    const leftMs = world.between(0, 8);
    site.nextHandOver = (sender) => {
      const owner = site.pods.find(({ threads }) => threads.includes(sender));
      const listener = owner?.children.find(({ main }) => main === sender);
      world.after(leftMs, () => {
        if (listener) listener.kill();
        else if (owner) {
          owner.kill('power failure');
          rebootLater(site, owner);
        }
      });
      return lateMs;
    };
    return `the next one, ${Math.round(lateMs)} ms late, ${leftMs.toFixed(1)} ms after it`;
  },
  /** Its tenure goes on under another token when it comes. */
  'late instruction': (site) => {
    const { world, temporal, pods } = site;
    const ms = world.between(20, 900);
    temporal.nextInstruction = ({ tenure }) => {
      const pod = pods.find(({ agent }) => agent?.tenure?.token === tenure.token);
      world.after(world.between(0, 20), () => pod?.children.find(({ isAlive }) => isAlive)?.kill());
      return ms;
    };
    return `the next one by ${Math.round(ms)} ms, and its listener dies`;
  },
  'stop member': ({ memberDownUntil, world }) => {
    const member = world.pick(members);
    const ms = world.between(100, 4_000);
    memberDownUntil.set(member, world.now + ms);
    return `${member} for ${Math.round(ms)} ms`;
  },
  'restart broker': ({ broker, world }) => {
    const ms = world.between(0, 1_500);
    broker.restart(ms);
    return `down for ${Math.round(ms)} ms`;
  },
  'break broker connection': ({ broker, world }) => {
    const connection = world.pick([...broker.connections]);
    connection?.breakOff('reset');
    return connection?.process.name ?? 'none';
  },
  'temporal away': ({ temporal, world }) => {
    const ms = world.between(200, 8_000);
    temporal.outage(ms);
    if (ms < 5_000) return `for ${Math.round(ms)} ms`;
    const lost = world.pick([...temporal.workflows.values()]);
    lost.loseRun();
    return `for ${Math.round(ms)} ms, and the run of ${lost.region} is lost`;
  },
  'step wall clock': ofPod((site, pod) => {
    const ms = site.world.between(-60_000, 60_000);
    pod.machine.stepWallClock(ms);
    return `${pod.machine.name} by ${Math.round(ms)} ms`;
  }),
};

function rebootLater(site: Site, pod: SimulatedPod): void {
  const place = site.places.find((each) => each.pod === pod);
  const { world } = site;
  const boot = (): void => {
    if (!place || place.pod !== pod) return;
    if (pod.isAlive) world.after(200, boot);
    else site.boot(place);
  };
  world.after(world.between(100, 3_000), boot);
}

/** A planned switch, as an operator asks for it; now and then aborted soon after. */
export function askForSwitch(site: Site): void {
  const { world, temporal, settings, places } = site;
  const regions = [...new Set(places.map(({ region }) => region))];
  const switchId = `switch-${world.uuid()}`;
  const active = places.find(({ pod }) => pod?.agent?.tenure?.token === site.judge.holderToken)?.region;
  // To the active region: nothing is to happen.
  const to = world.pick(world.chance(0.9) ? regions.filter((region) => region !== active) : regions);
  world.trace(null, `switch ${switchId} to ${to} is asked for`);
  // On a region that is not active it is recorded and ignored.
  for (const region of regions)
    if (region !== to)
      temporal.signal(null, regionWorkflowId(settings.name, region), 'gracefulSwitch', {
        switchId,
        to,
        reason: 'simulated',
        by: 'nemesis',
      });
  if (!world.chance(0.15)) return;
  const pod = anyPod(site);
  if (pod)
    world.after(world.between(50, 1_500), () =>
      world.enter(pod.agentProcess, () => {
        pod.agent?.store.abortSwitch(switchId, 'the nemesis wants it').catch(() => {});
      }),
    );
}

/** Everything that still lasts ends now. */
export function healAll(site: Site): void {
  const { world, etcd, places, broker, memberDownUntil } = site;
  for (const { routes } of places)
    for (const route of [routes.broker, routes.temporal, ...Object.values(routes.etcd)]) {
      route.cutUntil.there = Math.min(route.cutUntil.there, world.now);
      route.cutUntil.back = Math.min(route.cutUntil.back, world.now);
      route.slowMs = 0;
    }
  site.nextHandOver = null;
  site.newsLateMs = 0;
  etcd.deposed = null;
  etcd.stalledUntil = Math.min(etcd.stalledUntil, world.now);
  broker.downUntil = Math.min(broker.downUntil, world.now);
  memberDownUntil.clear();
}
