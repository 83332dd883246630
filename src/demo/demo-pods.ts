import { spawn, type ChildProcess } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { hasEnvironment, isRunning, pidsWithEnvironment } from '../dev/process-state';

export interface PodPlace {
  region: string;
  /** Without the boot id that each start adds. */
  name: string;
}

export interface PodSurroundings {
  /** The compiled command line. */
  program: string;
  configFile: string;
  /** Where the pods' output goes, one file per start. */
  logFolder: string;
  environment: NodeJS.ProcessEnv;
  /** Put before the command; must run it under its own pid. Default: nothing. */
  prefix?: readonly string[];
  /** Has the process group ended with the demo, however the demo ends. */
  adopt(pid: number): void;
  /** An agent ended that nobody had killed. */
  onUnexpectedExit(pod: DemoPod, how: string): void;
}

/** A process that was killed; `t` is on the monotonic clock, just after the kill. */
export interface Death {
  pid: number;
  t: bigint;
}

const LOG_LINES_SHOWN = 15;
/** Marks the agent and everything that it starts, so that a kill misses nobody. */
const MARK = 'BATON_DEMO_POD';

/** One pod of the demo: an agent and its listeners, as real processes, startable again after a kill. */
export class DemoPod {
  private child: ChildProcess | undefined;
  private boots = 0;
  /** Of this boot alone: pods of other systems on this machine may have the same name. */
  private mark = '';
  private killing = false;

  constructor(
    readonly place: PodPlace,
    private readonly surroundings: PodSurroundings,
  ) {}

  get name(): string {
    return this.place.name;
  }
  /** The agent's. */
  get pid(): number | undefined {
    return this.child?.pid;
  }
  /** The agent's pid. @throws when it does not run. */
  get agentPid(): number {
    if (this.child?.pid === undefined) throw new Error(`pod ${this.name} does not run`);
    return this.child.pid;
  }
  /** At least once: there is a log. */
  get hasStarted(): boolean {
    return this.boots > 0;
  }
  /** What stands in the environment of every process of the present boot. */
  get environmentMark(): string {
    return `${MARK}=${this.mark}`;
  }
  get logFile(): string {
    return join(this.surroundings.logFolder, `${this.name}-${this.boots}.log`);
  }

  /** Whether a pod's id, as it stands in etcd and in the ledger, is one of this pod's boots. */
  owns(podId: string): boolean {
    return podId === this.name || podId.startsWith(`${this.name}-`);
  }

  /** `program`: another build's command line, for this boot. */
  start(program = this.surroundings.program): void {
    if (this.child) throw new Error(`pod ${this.name} runs already`);
    this.boots++;
    this.mark = `${this.name}-${randomUUID()}`;
    this.killing = false;
    const { configFile, environment, prefix = [] } = this.surroundings;
    const log = openSync(this.logFile, 'a');
    const command = [
      ...prefix,
      process.execPath,
      program,
      'worker',
      '--region',
      this.place.region,
      '--pod',
      this.name,
      '--config',
      configFile,
    ];
    // In a group of its own: Ctrl-C is for the demo, which then ends its pods itself.
    const child = spawn(command[0]!, command.slice(1), {
      stdio: ['ignore', log, log],
      detached: true,
      env: { ...environment, [MARK]: this.mark },
    });
    closeSync(log);
    this.child = child;
    if (child.pid !== undefined) this.surroundings.adopt(child.pid);
    const ended = (how: string): void => {
      if (this.child !== child) return;
      this.child = undefined;
      if (!this.killing) this.surroundings.onUnexpectedExit(this, how);
    };
    child.on('error', (error) => ended(error.message));
    child.on('exit', (code, signal) => ended(signal ? `by ${signal}` : `with exit code ${code}`));
  }

  /** SIGKILL to the agent and all its listeners at once, as when a machine is lost. */
  kill(): Death[] {
    this.killing = true;
    const agent = this.child?.pid;
    if (agent === undefined) return [];
    // The agent first: it must not see a listener die and start the spare.
    const others = this.processes().filter((pid) => pid !== agent);
    return [agent, ...others].flatMap((pid) => killNow(pid));
  }

  /** SIGKILL to one of its processes. */
  killListener(pid: number): Death[] {
    // Looking at all processes first would hold up whoever publishes, and so lengthen what is measured from here.
    if (!hasEnvironment(pid, this.environmentMark) && !this.processes().includes(pid))
      throw new Error(`process ${pid} is not one of pod ${this.name}'s`);
    return killNow(pid);
  }

  /** Wall clock of the last confirmed extension of its lease, from its log; `null` when there is none. */
  lastExtension(): number | null {
    const line = this.log().findLast((entry) => entry['msg'] === 'lease extended');
    return line ? Date.parse(String(line['time'])) : null;
  }

  /** The last lines of its log, for a message about a failure. */
  logTail(): string {
    return readFileSync(this.logFile, 'utf8').trimEnd().split('\n').slice(-LOG_LINES_SHOWN).join('\n');
  }

  private processes(): number[] {
    const marked = pidsWithEnvironment(this.environmentMark);
    if (marked.length > 0) return marked;
    // Without /proc: those that its log names.
    const logged = this.log().map((entry) => Number(entry['listenerPid']));
    return [...new Set([this.child?.pid, ...logged])].filter((pid): pid is number => !!pid && isRunning(pid));
  }

  private log(): Record<string, unknown>[] {
    return readFileSync(this.logFile, 'utf8')
      .split('\n')
      .filter((line) => line.startsWith('{') && line.endsWith('}'))
      .map((line) => JSON.parse(line) as Record<string, unknown>);
  }
}

function killNow(pid: number): Death[] {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    return []; // It had ended by itself.
  }
  return [{ pid, t: process.hrtime.bigint() }];
}
