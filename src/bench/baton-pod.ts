import { setTimeout as sleep } from 'node:timers/promises';
import { DemoPod, type PodSurroundings } from '../demo/demo-pods';
import { isRunning, pidsWithEnvironment } from '../dev/process-state';
import type { Contender } from './contender';

const killLimitMs = 10_000;

/** One pod of Baton, as real processes: agent, listener and, while it holds the lock, the spare. */
export class BatonPod implements Contender {
  private readonly pod: DemoPod;
  private frozen: number[] = [];

  constructor(
    readonly region: string,
    readonly name: string,
    surroundings: PodSurroundings,
  ) {
    this.pod = new DemoPod({ region, name }, surroundings);
  }

  get isStarted(): boolean {
    return this.pod.pid !== undefined;
  }

  /** The agent's; undefined when it does not run. */
  get agentPid(): number | undefined {
    return this.pod.pid;
  }

  /** Of all its processes, the agent's first. */
  get pids(): number[] {
    const agent = this.pod.pid;
    if (agent === undefined) return [];
    return [agent, ...pidsWithEnvironment(this.pod.environmentMark).filter((pid) => pid !== agent)];
  }

  owns(podId: string): boolean {
    return this.pod.owns(podId);
  }

  start(): void {
    this.pod.start();
  }

  /** The whole pod, spare included. */
  async kill(): Promise<void> {
    const pids = this.pids;
    this.frozen = [];
    this.pod.kill();
    await gone(pids, () => !this.isStarted);
  }

  /** Only the listener that works; the agent stays, and starts the spare. */
  killListener(pid: number): void {
    this.pod.killListener(pid);
  }

  freeze(): void {
    // The agent first: it must not see its listener stand still. All are stopped within a millisecond.
    this.frozen = this.pids;
    for (const pid of this.frozen) signal(pid, 'SIGSTOP');
  }

  thaw(): void {
    for (const pid of this.frozen) signal(pid, 'SIGCONT');
    this.frozen = [];
  }

  logTail(): string {
    return this.pod.logTail();
  }
}

async function gone(pids: number[], also: () => boolean): Promise<void> {
  const giveUpAt = Date.now() + killLimitMs;
  while (!also() || pids.some((pid) => isRunning(pid))) {
    if (Date.now() > giveUpAt) throw new Error(`processes ${pids.join(', ')} survive SIGKILL`);
    await sleep(2);
  }
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch {
    // It has ended meanwhile.
  }
}
