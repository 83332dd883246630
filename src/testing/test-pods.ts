import { resolve } from 'node:path';
import { type Death, DemoPod, type PodSurroundings } from '../demo/demo-pods';
import type { LockView } from '../pod/lock-store';

export type TestPodsOptions = Omit<PodSurroundings, 'program'> & {
  regions: readonly string[];
  podsPerRegion: number;
};

const program = resolve(__dirname, '../cli/main.js');

/** All pods of a test, running or not, named `<region>-1` and so on. */
export class TestPods {
  readonly deaths: Death[] = [];
  private readonly pods: DemoPod[];

  constructor({ regions, podsPerRegion, ...surroundings }: TestPodsOptions) {
    const numbers = Array.from({ length: podsPerRegion }, (_, i) => i + 1);
    this.pods = regions.flatMap((region) =>
      numbers.map((n) => new DemoPod({ region, name: `${region}-${n}` }, { program, ...surroundings })),
    );
  }

  startRegion(region: string): void {
    for (const pod of this.pods) if (pod.place.region === region) pod.start();
  }

  /** @throws Error when there is no such pod, or it runs. */
  start(name: string): void {
    this.named(name).start();
  }

  /** SIGKILL to all processes of the pod whose boot has this id. @throws Error when it is none of these pods. */
  kill(podId: string): void {
    const pod = this.pods.find((each) => each.owns(podId));
    if (!pod) throw new Error(`${podId} is not a pod of this test`);
    this.deaths.push(...pod.kill());
  }

  killAll(): void {
    for (const pod of this.pods) pod.kill();
  }

  isReady(name: string, view: LockView | null): boolean {
    return ready(this.named(name), view);
  }

  /** But the holder. */
  othersAreReady(view: LockView | null): boolean {
    return this.pods.every((pod) => pod.owns(view?.holder?.pod ?? '') || ready(pod, view));
  }

  /** The ends of the logs, for a message about a failure. */
  logTails(): string {
    const started = this.pods.filter((pod) => pod.hasStarted);
    return started.map((pod) => `--- ${pod.name}\n${pod.logTail()}`).join('\n');
  }

  private named(name: string): DemoPod {
    const pod = this.pods.find((each) => each.name === name);
    const names = this.pods.map((each) => each.name).join(', ');
    if (!pod) throw new Error(`there is no pod ${name}; there are ${names}`);
    return pod;
  }
}

const ready = (pod: DemoPod, view: LockView | null): boolean =>
  (view?.candidates ?? []).some(
    ({ pod: id, state, standing }) => pod.owns(id) && state === 'ready' && standing,
  );
