import type { PodPort } from '../../activities/ports';
import type {
  AwaitSuccessorResult,
  AwaitTenureInput,
  AwaitTenureResult,
  Candidate,
  CrashInput,
  CrashOutcome,
  DrainAndHandOverInput,
  Force,
  ForceOutcome,
  HandOverOutcome,
  HookQuestion,
  LockTruth,
  Mark,
  MarkResult,
  ProbeResult,
  Receipt,
  ReleaseOutcome,
  RenewLeaseResult,
  StartListenerResult,
  SwitchAnswer,
  Tenure,
  TenureInput,
} from '../../workflows/contract';

/** What etcd would say, shared by the pods of a test. */
export class FakeTruth implements LockTruth {
  holder: Tenure | null = null;
  candidates: Candidate[] = [];
  paused: LockTruth['paused'] = null;
  cordons: NonNullable<LockTruth['cordons']> = [];
  blocked: string | null = null;
  successor: string | null = null;
  last: Receipt | null = null;
  recentGapsMs: number[] = [];
  preference: NonNullable<LockTruth['preference']> = { order: [], never: [] };
  aborted: string[] = [];
  private token = 100;

  /** Makes the pod the holder, under a new token, and tells it. */
  give(pod: FakePod): Tenure {
    this.token += 10;
    const { lock, region, pod: name } = pod;
    const since = new Date().toISOString();
    this.holder = { lock, region, pod: name, leaseId: '7', token: this.token, since };
    pod.tell(this.holder);
    return this.holder;
  }

  takeAway(): void {
    this.holder = null;
  }
}

/** A pod that does what a test tells it; each method can be replaced. */
export class FakePod implements PodPort {
  readonly calls: { method: string; input: unknown }[] = [];
  private waits: { afterToken: number; end: (result: AwaitTenureResult) => void }[] = [];
  private newest: Tenure | null = null;
  processed = 0;

  constructor(
    readonly lock: string,
    readonly region: string,
    readonly pod: string,
    private readonly truth: FakeTruth,
  ) {
    const since = new Date().toISOString();
    truth.candidates.push({ region, pod, state: 'ready', standing: true, since, version: '1' });
  }

  callsOf<T>(method: keyof PodPort): T[] {
    return this.calls.filter((call) => call.method === method).map((call) => call.input as T);
  }

  tell(tenure: Tenure): void {
    this.newest = tenure;
    const waits = this.waits.filter(({ afterToken }) => tenure.token > afterToken);
    for (const { end } of waits) end(this.report(tenure));
  }

  /** What it says when it is told to kill itself; `null`: nothing, ever. */
  crashed: CrashOutcome | null = null;
  private silence = (): void => undefined;

  /** Ends every open wait, so that the workers can stop. */
  end(): void {
    this.silence();
    this.endWaits();
  }

  private endWaits(): void {
    for (const { end } of this.waits) end({ outcome: 'not-yet', why: 'the pod ends', attempts: [] });
  }

  async awaitTenure(input: AwaitTenureInput, signal: AbortSignal): Promise<AwaitTenureResult> {
    this.note('awaitTenure', input);
    this.endWaits();
    if (this.newest && this.newest.token > input.afterToken) return this.report(this.newest);
    return new Promise((resolve) => {
      const wait = {
        afterToken: input.afterToken,
        end: (result: AwaitTenureResult): void => {
          this.waits = this.waits.filter((other) => other !== wait);
          resolve(result);
        },
      };
      this.waits.push(wait);
      signal.addEventListener('abort', () =>
        wait.end({ outcome: 'not-yet', why: 'cancelled', attempts: [] }),
      );
    });
  }

  async standDown(input: unknown): Promise<void> {
    this.note('standDown', input);
  }

  async startListener(input: TenureInput): Promise<StartListenerResult> {
    this.note('startListener', input);
    return { outcome: 'started', why: 'consumes' };
  }

  async renewLease(input: TenureInput): Promise<RenewLeaseResult> {
    this.note('renewLease', input);
    const { holder } = this.truth;
    if (holder?.token !== input.tenure.token)
      return { outcome: 'lost', why: 'etcd shows another holder', holder };
    this.processed += 100;
    return { outcome: 'extended', marginMs: 3_100, processed: this.processed, inFlight: 2, receipt: null };
  }

  async drainAndHandOver(input: DrainAndHandOverInput): Promise<HandOverOutcome> {
    this.note('drainAndHandOver', input);
    return this.handOver(input);
  }

  /** Hands over to the first target, as etcd would show it. */
  handOver({ tenure, switchId, targets, reason, by }: DrainAndHandOverInput): HandOverOutcome {
    const [target] = targets;
    if (!target) return { outcome: 'resumed', why: 'no target' };
    const token = tenure.token + 5;
    const at = new Date().toISOString();
    this.truth.holder = { ...tenure, ...target, token, since: at };
    const receipt: Receipt = {
      id: switchId,
      lock: this.lock,
      cause: 'switch',
      why: reason,
      by,
      from: { region: tenure.region, pod: tenure.pod, token: tenure.token },
      to: { ...target, token },
      at,
      drained: 3,
      requeued: 4,
      lastFinishedAt: at,
      firstStartedAt: null,
      gapMs: null,
    };
    this.truth.last = receipt;
    return { outcome: 'handed-over', receipt };
  }

  async releaseLock(): Promise<ReleaseOutcome> {
    return { outcome: 'refused', why: 'not in this test' };
  }

  async abortSwitch(input: { switchId: string }): Promise<void> {
    this.note('abortSwitch', input);
    this.truth.aborted.push(input.switchId);
  }

  async force({ force }: { force: Force }): Promise<ForceOutcome> {
    this.note('force', force);
    const { holder } = this.truth;
    if (holder?.token !== force.token) return { outcome: 'refused', why: 'another one holds it' };
    const { receipt } = this.handOver({
      lock: this.lock,
      seq: 0,
      tenure: holder,
      switchId: force.switchId,
      targets: [{ region: force.to, pod: 'nobody' }],
      reason: force.reason,
      by: force.by,
    }) as HandOverOutcome & { outcome: 'handed-over' };
    this.truth.holder = null;
    return { outcome: 'released', receipt: { ...receipt, cause: 'force', to: null } };
  }

  async crash(input: CrashInput): Promise<CrashOutcome> {
    this.note('crash', input);
    return (
      this.crashed ??
      new Promise((resolve) => {
        this.silence = () => resolve({ outcome: 'refused', why: 'the pod ends' });
      })
    );
  }

  async mark({ mark }: { mark: Mark }): Promise<MarkResult> {
    this.note('mark', mark);
    const { kind, region, by: who, reason: why } = mark;
    const when = new Date().toISOString();
    if (region === undefined) this.truth.paused = kind === 'pause' ? { who, why, when } : null;
    else this.truth.cordons = kind === 'cordon' ? [{ region, who, why, when }] : [];
    return { changed: true, why: `${kind} is done` };
  }

  async inspectLock(): Promise<LockTruth> {
    this.note('inspectLock', {});
    const { holder, candidates, paused, cordons, blocked, successor, last, recentGapsMs, preference } =
      this.truth;
    return { holder, candidates, paused, cordons, blocked, successor, last, recentGapsMs, preference };
  }

  async probe(): Promise<ProbeResult> {
    this.note('probe', {});
    return { ready: true, why: 'ready' };
  }

  async awaitSuccessor(): Promise<AwaitSuccessorResult> {
    this.note('awaitSuccessor', {});
    const { last, holder } = this.truth;
    return { holder, receipt: last && { ...last, firstStartedAt: new Date().toISOString(), gapMs: 21 } };
  }

  async runHook(input: HookQuestion): Promise<SwitchAnswer> {
    this.note('runHook', input);
    return this.answerHook(input);
  }

  answerHook({ stage, hook: from }: HookQuestion): SwitchAnswer | Promise<SwitchAnswer> {
    return { stage, from, verdict: 'ok', at: new Date().toISOString(), why: 'go on' };
  }

  private report(tenure: Tenure): AwaitTenureResult {
    return { outcome: 'tenure', tenure, receipt: null, attempts: [] };
  }

  private note(method: string, input: unknown): void {
    this.calls.push({ method, input });
  }
}
