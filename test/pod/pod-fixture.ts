import pino from 'pino';
import type { DrainAndHandOverInput, ReleaseLockInput, Tenure } from '../../workflows/contract';
import type { LockSettings } from '../../src/config/config';
import { completeTiming } from '../../src/config/lock-timing';
import type { EtcdClient } from '../../src/etcd/etcd-client';
import type { EtcdLock } from '../../src/etcd/etcd-lock';
import { LockAgent } from '../../src/pod/lock-agent';
import { LockMetrics } from '../../src/pod/lock-metrics';
import type { CandidateKey, LockView } from '../../src/pod/lock-store';
import { PodMetrics } from '../../src/telemetry/metrics';
import { LockFixture } from '../etcd/lock-fixture';
import { eventually } from '../support/eventually';
import { sharedServers, uniqueName } from '../support/servers';
import { ScriptedGroup } from './scripted-listener';

/** Far more than anything here takes on a busy machine, unless it waits for a lease or an interval. */
const soonMs = 30_000;

export const silentLogger = pino({ level: process.env['BATON_TEST_LOG'] ?? 'silent' });

export function lockSettings(name: string, more: Partial<LockSettings> = {}): LockSettings {
  return {
    // A machine that stalls costs nobody the lease, and no request its answer.
    ...completeTiming({
      leaseTtlMs: more.leaseTtlMs ?? 30_000,
      requestTimeoutMs: more.leaseTtlMs === undefined ? 5_000 : undefined,
      deadlineMarginMs: more.deadlineMarginMs,
    }),
    name,
    drainLimitMs: 5_000,
    stallLimitMs: 5_000,
    healthLimitMs: 500,
    minSwitchIntervalMs: 0,
    maxChangesPerHour: 6,
    approvalWithinMs: 0,
    hooks: [],
    maxFailureRate: 1,
    preference: { order: [], never: [], failback: null },
    historyLimit: 10_000,
    drill: { objectiveMs: null, crashObjectiveMs: null, allowCrash: false },
    queue: {
      name,
      declare: false,
      deadLetterExchange: `${name}.dead`,
      deliveryLimit: 100,
      prefetch: 8,
      concurrency: 8,
      maxDeliveries: 5,
      heartbeatSeconds: 5,
    },
    handler: '/none',
    process: 'own',
    ...more,
  };
}

/** One pod's lock agent on the real etcd, with scripted listeners. */
export class ScriptedPod {
  readonly agent: LockAgent;
  readonly group: ScriptedGroup;
  /** The tokens of the tenures whose end was told to the workflow. */
  readonly notices: { token: number; why: string }[] = [];
  private readonly calls = new AbortController();

  constructor(
    readonly region: string,
    readonly name: string,
    settings: LockSettings,
    readonly store: EtcdLock,
    private readonly client: EtcdClient,
  ) {
    this.group = new ScriptedGroup(settings.name);
    const metrics = new PodMetrics({ version: 'test', region, locks: [settings] });
    this.agent = new LockAgent(
      settings,
      { region, pod: name, version: 'test' },
      store,
      this.group.asGroup,
      new LockMetrics(metrics, settings.name, region),
      { tenureEnded: (_lock, token, why) => void this.notices.push({ token, why }) },
      silentLogger.child({ pod: name }),
    );
    this.agent.start();
  }

  get token(): number {
    if (!this.agent.tenure) throw new Error(`${this.name} holds nothing`);
    return this.agent.tenure.token;
  }

  get tenure(): Tenure {
    if (!this.agent.tenure) throw new Error(`${this.name} holds nothing`);
    return this.agent.tenure.tenure;
  }

  /** As `awaitTenure` of the workflow does; returns without waiting for a tenure. */
  stand(): void {
    void this.agent.awaitTenure(0, 600_000, this.calls.signal);
  }

  switchInput(to: ScriptedPod[], more: Partial<DrainAndHandOverInput> = {}): DrainAndHandOverInput {
    const targets = to.map(({ region, name }) => ({ region, pod: name }));
    const { lock, tenure } = this.leaving();
    return {
      lock,
      seq: 1,
      tenure,
      switchId: uniqueName('switch'),
      targets,
      reason: 'a test',
      by: 'me',
      ...more,
    };
  }

  releaseInput(more: Partial<ReleaseLockInput> = {}): ReleaseLockInput {
    const { lock, tenure } = this.leaving();
    return { lock, seq: 1, tenure, switchId: uniqueName('release'), reason: 'a test', by: 'me', ...more };
  }

  /** A tenure begun above `afterToken`, running and consuming. */
  untilHolding(afterToken = 0, limitMs = soonMs): Promise<number> {
    return eventually(() => {
      const { tenure } = this.agent;
      if (tenure?.phase !== 'running' || !tenure.consuming || tenure.token <= afterToken)
        throw new Error(`${this.name} does not hold above ${afterToken}: ${this.agent.whyNotReady()}`);
      return tenure.token;
    }, limitMs);
  }

  untilNotHolding(limitMs = soonMs): Promise<void> {
    return eventually(() => {
      if (this.agent.tenure)
        throw new Error(`${this.name} still has ${this.agent.tenure.phase} ${this.token}`);
    }, limitMs);
  }

  /** Leaves etcd's keys to the fixture. */
  async close(): Promise<void> {
    this.calls.abort();
    this.agent.subscription.end('the test is over');
    this.agent.tenure?.end('the test is over');
    // A test may have taken etcd away; the lease then goes with the fixture's keys, or by itself.
    await this.agent.finish().catch(() => {});
    await this.agent.exclusive(() => Promise.resolve());
    this.client.close();
  }

  private leaving(): { lock: string; tenure: Tenure } {
    return { lock: this.agent.lock, tenure: this.tenure };
  }
}

/** Pods that fight for one lock of their own in the shared etcd. */
export class PodFixture {
  readonly etcd = new LockFixture();
  readonly lock = this.etcd.lock;
  private readonly pods: ScriptedPod[] = [];

  /** A pod with a warm listener, unless `warm` says otherwise. It does not stand yet. */
  pod(
    name: string,
    {
      region = name.replace(/-[^-]*$/, ''),
      warm = true,
      etcd = sharedServers().etcd,
      settings = {},
    }: { region?: string; warm?: boolean; etcd?: string[]; settings?: Partial<LockSettings> } = {},
  ): ScriptedPod {
    const complete = lockSettings(this.lock, settings);
    const { client, store } = this.etcd.other(etcd, complete.requestTimeoutMs);
    const pod = new ScriptedPod(region, name, complete, store, client);
    this.pods.push(pod);
    if (warm) pod.group.becomeWarm();
    return pod;
  }

  /** A pod that holds the lock and consumes. */
  async holder(name: string, options: Parameters<PodFixture['pod']>[1] = {}): Promise<ScriptedPod> {
    const pod = this.pod(name, options);
    pod.stand();
    await pod.untilHolding();
    return pod;
  }

  /** A pod that could take over at once. */
  async standby(name: string, options: Parameters<PodFixture['pod']>[1] = {}): Promise<ScriptedPod> {
    const pod = this.pod(name, options);
    pod.stand();
    await this.until(`${name} is ready and standing`, (view) => {
      const candidate = candidateOf(view, name);
      return candidate?.state === 'ready' && candidate.standing;
    });
    return pod;
  }

  view(): Promise<LockView> {
    return this.etcd.store.read();
  }

  /** Waits until etcd shows what is wanted. */
  until(what: string, check: (view: LockView) => boolean, limitMs = soonMs): Promise<LockView> {
    return eventually(async () => {
      const view = await this.view();
      if (!check(view))
        throw new Error(`not within ${limitMs} ms: ${what}; etcd shows ${JSON.stringify(view)}`);
      return view;
    }, limitMs);
  }

  async close(): Promise<void> {
    await Promise.all(this.pods.map((pod) => pod.close()));
    await this.etcd.close();
  }
}

export function candidateOf(view: LockView, pod: string): CandidateKey | undefined {
  return view.candidates.find((candidate) => candidate.pod === pod);
}

/** Returns when everything that the pod had to do for now is done. */
export async function settled(pod: ScriptedPod): Promise<void> {
  pod.agent.kick();
  await pod.agent.exclusive(() => Promise.resolve());
}
