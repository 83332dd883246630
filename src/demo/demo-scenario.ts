import { setTimeout as sleep } from 'node:timers/promises';
import type { Disturbance } from './demo-report';
import type { Death } from './demo-pods';
import { type DemoSystem, lock, regions } from './demo-system';
import type { Working } from './observer';

export interface ScenarioOptions {
  system: DemoSystem;
  leaseTtlMs: number;
  /** Messages flow at least for so long; what the scenario leaves of it is filled with planned switches. */
  seconds: number;
  announce: (what: string) => void;
  signal: AbortSignal;
}

/** Between two disturbances, so that each is seen by itself. */
const CALM_MS = 1_500;
/** A new holder's spare listener takes its time to get warm. */
const SPARE_MS = 3_000;
const SWITCH_LIMIT_MS = 15_000;
const REPAIR_LIMIT_MS = 10_000;
const RESTART_LIMIT_MS = 30_000;
/** After the switch there and the switch back: enough for a median to mean something. */
const MORE_SWITCHES = 3;

/** Everything that is done to the running system, in the order in which it is told. */
export class DemoScenario {
  readonly disturbances: Disturbance[] = [];
  readonly deaths: Death[] = [];

  constructor(private readonly options: ScenarioOptions) {}

  async run(): Promise<void> {
    const endsAt = Date.now() + this.options.seconds * 1000;
    await this.firstMessage();
    await this.switchRegion('planned switch');
    const killed = await this.killActivePod();
    await this.killActiveListener();
    await this.restart(killed);
    await this.switchRegion('switch back');
    for (let i = 0; i < MORE_SWITCHES || Date.now() < endsAt; i++)
      await this.switchRegion('one more planned switch');
    await this.calm();
  }

  private async firstMessage(): Promise<void> {
    const { system, signal } = this.options;
    await system.observer.until(
      'the first message was processed',
      REPAIR_LIMIT_MS,
      signal,
      () => system.observer.working,
    );
  }

  private async switchRegion(reason: string): Promise<void> {
    await this.calm();
    const { system, announce } = this.options;
    const before = this.working();
    const to = regions.find((region) => region !== before.region)!;
    announce(`${reason}: ${before.region} → ${to}`);
    this.note('switch', `${reason} to ${to}`, before);
    const { code, said } = await system.baton('switch', '--lock', lock, '--to', to, '--reason', reason);
    if (code !== 0) throw new Error(`baton switch --to ${to} ended with exit code ${code}:\n${said}`);
    await this.nextHolder(`${to} went on`, before, SWITCH_LIMIT_MS);
  }

  private async killActivePod(): Promise<string> {
    await this.calm();
    const { system, announce, leaseTtlMs } = this.options;
    const before = this.working();
    const pod = system.podOf(before.pod);
    announce(`SIGKILL ${before.pod}: agent and listener`);
    const deaths = pod.kill();
    this.deaths.push(...deaths);
    this.note('kill-pod', `SIGKILL of ${before.pod}`, before).lastExtension = pod.lastExtension();
    await this.nextHolder('another pod took over', before, 2 * leaseTtlMs + REPAIR_LIMIT_MS);
    return pod.name;
  }

  private async killActiveListener(): Promise<void> {
    await this.calm(SPARE_MS);
    const { system, announce } = this.options;
    const before = this.working();
    announce(`SIGKILL the listener of ${before.pod} (process ${before.pid})`);
    this.deaths.push(...system.podOf(before.pod).killListener(before.pid));
    this.note('kill-listener', `SIGKILL of the listener of ${before.pod}`, before);
    await this.nextHolder('its spare went on', before, REPAIR_LIMIT_MS);
  }

  private async restart(name: string): Promise<void> {
    const { system, announce, signal } = this.options;
    const pod = system.podOf(name);
    announce(`restarting ${name}`);
    pod.start();
    await system.observer.until(`${name} was ready again`, RESTART_LIMIT_MS, signal, () =>
      system.isReady(pod),
    );
    announce(`${name} is a candidate again`);
  }

  private async calm(ms = CALM_MS): Promise<void> {
    await sleep(ms, undefined, { signal: this.options.signal });
  }

  private working(): Working {
    const { working } = this.options.system.observer;
    if (!working) throw new Error('no message has been processed yet');
    return working;
  }

  private note(kind: Disturbance['kind'], what: string, before: Working): Disturbance {
    const { token } = before;
    const wall = Date.now();
    const disturbance: Disturbance = {
      kind,
      what,
      token,
      t: process.hrtime.bigint(),
      wall,
      lastExtension: null,
    };
    this.disturbances.push(disturbance);
    return disturbance;
  }

  /** Waits for the first message under a higher token. */
  private async nextHolder(what: string, before: Working, limitMs: number): Promise<void> {
    const { system, announce, signal } = this.options;
    const { observer } = system;
    const next = await observer.until(what, limitMs, signal, () =>
      observer.working && observer.working.token > before.token ? observer.working : null,
    );
    announce(`${next.pod} goes on with token ${next.token}`);
  }
}
