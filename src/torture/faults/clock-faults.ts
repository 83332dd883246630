import type { PodClock } from '../pod-clock';
import type { FaultMaker } from './fault';

const maxStepSeconds = 7_200;
const maxRateChange = 0.5;

/** What the wall clock of a pod shows, until it shows the truth again: another step. */
const disturb =
  (change: (clock: PodClock, strength: number) => string): FaultMaker =>
  async ({ role, strength }, { system, busyPods }) => {
    const pod = system.podInRole(role ?? 'holder', busyPods);
    busyPods.add(pod.name);
    const clock = system.clocks.get(pod.name);
    if (!clock) throw new Error('libfaketime is not installed');
    const what = change(clock, strength);
    return { target: `${pod.name} ${what}`, end: async () => clock.step(0) };
  };

export const clockFaults = {
  'clock-step': disturb((clock, strength) => {
    const seconds = Math.round((strength - 0.5) * 2 * maxStepSeconds);
    clock.step(seconds);
    return `by ${seconds} s`;
  }),
  'clock-rate': disturb((clock, strength) => {
    const rate = 1 + (strength - 0.5) * 2 * maxRateChange;
    clock.run(rate);
    return `at ${rate.toFixed(2)} times the true rate`;
  }),
} as const satisfies Record<string, FaultMaker>;
