import { ActivityFailure, RetryState, TimeoutFailure, TimeoutType } from '@temporalio/common';
import type { RegionInput, RegionStatus, RegionTimings } from '../../workflows/contract';
import { regionWorkflowId } from '../../workflows/names';
import { regionWorkflow } from '../../workflows/region';
import { Machine, SimulatedProcess } from './simulated-process';
import { ContinuedAsNew, inActivity, type ActivityOptions, type WorkflowPort } from './simulated-workflow';
import type { Route, World } from './world';

export interface Instruction {
  switchId: string;
  tenure: { token: number };
}

/** A pod's worker. */
export interface Worker {
  process: SimulatedProcess;
  route: Route;
  run: (activity: string, input: unknown) => Promise<unknown>;
}

/** Temporal: workflows, and the questions that they have pods asked. Its own clock is true. */
export class SimulatedTemporal {
  readonly machine: Machine;
  readonly workflows = new Map<string, SimulatedWorkflow>();
  /** By base name of their queues. */
  readonly workers = new Map<string, Worker>();
  /** Told of each instruction to hand over. */
  onInstruction: (input: Instruction) => void = () => {};
  /** Told once of the next one: it reaches the pod later by what it says, in ms. */
  nextInstruction: ((input: Instruction) => number) | null = null;

  constructor(readonly world: World) {
    this.machine = new Machine('temporal', 1, 0, 1_800_000_000_000);
  }

  startRegion(lock: string, region: string, settings: RegionTimings): void {
    const workflow = new SimulatedWorkflow(this, { lock, region, settings });
    this.workflows.set(regionWorkflowId(lock, region), workflow);
  }

  /** Nothing moves in it; what is sent to it arrives afterwards. */
  outage(ms: number): void {
    for (const { process } of this.workflows.values()) process.freeze(ms);
  }

  signal(
    from: { process: SimulatedProcess; route: Route } | null,
    id: string,
    name: string,
    payload: unknown,
  ): void {
    const workflow = this.workflows.get(id);
    if (!workflow) return;
    const sender = from === null ? {} : { from: from.process, route: from.route };
    this.world.transmit({ ...sender, to: workflow.process, maxMs: 20 }, () => workflow.signal(name, payload));
  }
}

/** One region's workflow, run after run. */
export class SimulatedWorkflow implements WorkflowPort {
  readonly process: SimulatedProcess;
  readonly handlers = new Map<string, (payload: unknown) => unknown>();
  readonly conditions = new Set<() => void>();
  conditionsMet = 0;
  readonly info: WorkflowPort['info'] = {
    runStartTime: new Date(0),
    historyLength: 0,
    attempt: 1,
    continueAsNewSuggested: false,
  };

  readonly region: string;
  /** What the present run was given. */
  private given: string;
  private readonly activities = new Set<OpenActivity>();

  constructor(
    private readonly temporal: SimulatedTemporal,
    input: RegionInput,
  ) {
    const { world, machine } = temporal;
    this.region = input.region;
    this.process = new SimulatedProcess(world, `workflow ${input.region}`, machine);
    this.process.services.workflow = this;
    this.process.afterEvent = () => {
      // What one of them wakes can fulfil another one.
      for (let before = -1; before !== this.conditionsMet;) {
        before = this.conditionsMet;
        for (const look of this.conditions) look();
        world.runReactions();
      }
    };
    this.given = JSON.stringify(input);
    world.enter(this.process, () => this.begin(input));
  }

  /** The present run cannot be replayed, and the server begins another one with what it was given. */
  loseRun(): void {
    this.info.attempt += 1;
    this.info.continuedFromExecutionRunId = 'the lost run';
    for (const activity of this.activities) activity.close();
    this.activities.clear();
    this.temporal.world.enter(this.process, () => this.begin(JSON.parse(this.given) as RegionInput));
  }

  signal(name: string, payload: unknown): void {
    this.info.historyLength += 1;
    this.handlers.get(name)?.(payload);
  }

  get status(): RegionStatus {
    return this.handlers.get('status')?.(null) as RegionStatus;
  }

  execute(activity: string, input: unknown, options: ActivityOptions): Promise<unknown> {
    this.info.historyLength += 3;
    return new Promise((resolve, reject) => {
      const { temporal, process } = this;
      const open = new OpenActivity(temporal, process, activity, input, options, resolve, reject);
      this.activities.add(open);
      open.begin();
    });
  }

  private begin(input: RegionInput): void {
    this.info.runStartTime = new Date();
    this.info.historyLength = 0;
    this.handlers.clear();
    this.conditions.clear();
    regionWorkflow(input).catch((error: unknown) => {
      if (error instanceof ContinuedAsNew) {
        const run = error.input as RegionInput;
        this.info.continuedFromExecutionRunId = 'the run before';
        // As its converter would: no object is shared between two runs.
        this.given = JSON.stringify(run);
        this.info.attempt = 1;
        this.begin(JSON.parse(this.given) as RegionInput);
      } else this.process.world.failed(error);
    });
  }
}

/** An activity from the workflow's question to its end. */
class OpenActivity {
  private isOpen = true;
  private timers: NodeJS.Timeout[] = [];
  private heartbeat: NodeJS.Timeout | null = null;

  constructor(
    private readonly temporal: SimulatedTemporal,
    private readonly workflow: SimulatedProcess,
    private readonly activity: string,
    private readonly input: unknown,
    private readonly options: ActivityOptions,
    private readonly resolve: (result: unknown) => void,
    private readonly reject: (error: Error) => void,
  ) {}

  begin(): void {
    const { temporal, activity, input, options } = this;
    const { world } = temporal;
    const lateMs = activity === 'drainAndHandOver' ? this.instruct(input as Instruction) : 0;
    this.limit(options.scheduleToStartTimeout, TimeoutType.SCHEDULE_TO_START);
    const worker = temporal.workers.get(options.taskQueue.replace(/\/(stand|do)$/, ''));
    if (!worker) return;
    // Now and then late, and now and then twice.
    world.transmit({ minMs: lateMs, maxMs: lateMs + (world.chance(0.03) ? 3_000 : 15) }, () =>
      this.dispatch(worker),
    );
    if (world.chance(0.02)) world.after(world.between(20, 4_000), () => this.deliver(worker));
  }

  private instruct(input: Instruction): number {
    const { temporal } = this;
    temporal.onInstruction(input);
    const lateMs = temporal.nextInstruction?.(input) ?? 0;
    temporal.nextInstruction = null;
    return lateMs;
  }

  /** A frozen worker takes it, too, as far as the server knows. */
  private dispatch(worker: Worker): void {
    const { world } = this.temporal;
    if (!this.isOpen || !worker.process.isAlive) return;
    if (worker.route.cutUntil.there > world.now) {
      world.at(worker.route.cutUntil.there, () => this.dispatch(worker));
      return;
    }
    world.enter(this.workflow, () => this.started());
    this.deliver(worker);
  }

  private deliver(worker: Worker): void {
    const { world } = this.temporal;
    const { process, route } = worker;
    const abort = new AbortController();
    const heartbeat = (): void =>
      world.transmit({ from: process, to: this.workflow, route }, () => {
        if (this.isOpen) this.armHeartbeat();
        else world.transmit({ to: process, route, way: 'back' }, () => abort.abort());
      });
    world.transmit({ to: process, route, way: 'back' }, () => {
      const context = { heartbeat, cancellationSignal: abort.signal };
      const answer = (settle: () => void): void =>
        world.transmit({ from: process, to: this.workflow, route, maxMs: 15 }, () => this.end(settle));
      inActivity(context, () => worker.run(this.activity, this.input)).then(
        (result) => answer(() => this.resolve(result)),
        (error: Error) =>
          answer(() =>
            this.reject(
              new ActivityFailure(
                'failed',
                this.activity,
                '',
                RetryState.MAXIMUM_ATTEMPTS_REACHED,
                '',
                error,
              ),
            ),
          ),
      );
    });
  }

  private started(): void {
    if (!this.isOpen) return;
    for (const timer of this.timers.splice(0)) clearTimeout(timer);
    this.limit(this.options.startToCloseTimeout, TimeoutType.START_TO_CLOSE);
    this.armHeartbeat();
  }

  private armHeartbeat(): void {
    const { heartbeatTimeout } = this.options;
    if (heartbeatTimeout === undefined) return;
    if (this.heartbeat) clearTimeout(this.heartbeat);
    this.heartbeat = setTimeout(() => this.timeOut(TimeoutType.HEARTBEAT), heartbeatTimeout);
  }

  private limit(ms: number, type: TimeoutType): void {
    this.timers.push(setTimeout(() => this.timeOut(type), ms));
  }

  private timeOut(type: TimeoutType): void {
    const cause = new TimeoutFailure('timed out', undefined, type);
    this.end(() =>
      this.reject(new ActivityFailure('timed out', this.activity, '', RetryState.TIMEOUT, '', cause)),
    );
  }

  private end(settle: () => void): void {
    if (!this.isOpen) return;
    this.close();
    settle();
  }

  /** Its answer is not wanted any more; the worker hears of that with its next heartbeat. */
  close(): void {
    this.isOpen = false;
    for (const timer of this.timers) clearTimeout(timer);
    if (this.heartbeat) clearTimeout(this.heartbeat);
  }
}
