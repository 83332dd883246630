import { setTimeout as sleep } from 'node:timers/promises';
import { stopLimitMs } from '../../config/stop-limit';
import type { DemoPod } from '../../demo/demo-pods';
import type { PlannedFault } from '../schedule';
import { timing, type TortureSystem } from '../torture-system';
import type { BegunFault, FaultContext, FaultMaker } from './fault';

const endLimitMs = stopLimitMs({ locks: [timing] }) + 2_000;
/** How long the next restart waits for the pod to stand; then it goes on, as an impatient platform does. */
const readyLimitMs = 30_000;

function pick({ role }: PlannedFault, { system, busyPods }: FaultContext): DemoPod {
  const pod = system.podInRole(role ?? 'holder', busyPods);
  busyPods.add(pod.name);
  return pod;
}

type Part = 'listener' | 'agent' | 'pod';

function pidsOf(part: Part, pod: DemoPod, { system }: FaultContext): number[] {
  const { agent, listeners } = system.watch.processesOf(pod);
  const listener = system.listenerOf(pod);
  const pids = {
    listener: [listener],
    agent: [agent],
    // The agent first: it must not see a listener die and start the spare.
    pod: [agent, ...listeners],
  }[part];
  return pids.filter((pid): pid is number => pid !== undefined);
}

/** A pod whose agent ends stays down until the fault's end. */
const kill =
  (part: Part): FaultMaker =>
  async (plan, context) => {
    const { system } = context;
    const pod = pick(plan, context);
    if (part !== 'listener') system.holdDown(pod);
    const pids = pidsOf(part, pod, context).filter((pid) => system.watch.kill(pid));
    const end = async (): Promise<void> => {
      if (part === 'listener') return;
      for (let i = 0; pod.pid !== undefined && i < 100; i++) await sleep(20); // Until its exit has been told.
      system.letUp(pod);
    };
    return { target: `${part} of ${pod.name}`, pids, end };
  };

const freeze =
  (part: Part): FaultMaker =>
  async (plan, context) => {
    const { system } = context;
    const pod = pick(plan, context);
    const pids = pidsOf(part, pod, context).filter((pid) => system.watch.signal(pid, 'SIGSTOP'));
    const end = async (): Promise<void> => {
      for (const pid of pids) system.watch.signal(pid, 'SIGCONT');
    };
    return { target: `${part} of ${pod.name}`, pids, end };
  };

const isStanding = (pod: DemoPod, { observer }: TortureSystem): boolean =>
  [...observer.standing].some((each) => pod.owns(each) && pod.pid !== undefined);

/** SIGTERM, which lets a pod hand over, and the start of another boot; the next pod when that one stands. */
const roll: FaultMaker = async (_plan, { system, signal }) => {
  const pids: number[] = [];
  const restartAll = async (): Promise<void> => {
    for (const pod of system.pods) {
      const pid = pod.pid;
      if (pid === undefined) continue;
      system.holdDown(pod);
      system.watch.signal(pid, 'SIGTERM');
      const ended = await system.comesTrue(endLimitMs, signal, () => pod.pid === undefined);
      if (!ended) {
        system.watch.kill(pid);
        await system.comesTrue(2_000, signal, () => pod.pid === undefined);
      }
      system.letUp(pod);
      if (!ended) throw new Error(`${pod.name} did not end within ${endLimitMs / 1000} s of SIGTERM`);
      pids.push(pid);
      await system.comesTrue(readyLimitMs, signal, () => isStanding(pod, system));
    }
  };
  const done = restartAll();
  done.catch(() => undefined); // Told by `end`.
  const begun: BegunFault = { target: 'every pod', pids, end: () => done };
  return begun;
};

const upgrade: FaultMaker = (plan, context) => {
  const release = context.system.takeOtherRelease();
  return roll(plan, context).then((begun) => ({ ...begun, target: `every pod, to the ${release} release` }));
};

export const podFaults = {
  'listener-kill': kill('listener'),
  'listener-freeze-short': freeze('listener'),
  'listener-freeze-long': freeze('listener'),
  'agent-kill': kill('agent'),
  'agent-freeze-short': freeze('agent'),
  'agent-freeze-long': freeze('agent'),
  'pod-kill': kill('pod'),
  'pod-freeze-short': freeze('pod'),
  'pod-freeze-long': freeze('pod'),
  'rolling-restart': roll,
  'rolling-upgrade': upgrade,
} as const satisfies Record<string, FaultMaker>;
