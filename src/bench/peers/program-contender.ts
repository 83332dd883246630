import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import type { Writable } from 'node:stream';
import type { DevStack } from '../../dev/dev-stack';
import type { Command } from '../../dev/server';
import type { Contender } from '../contender';

/** What a contender last said of itself; `starting` until it says something, `ended` when its process is gone. */
export type ContenderState = 'starting' | 'standing' | 'active' | 'inactive' | 'ended';

const LOG_LINES_SHOWN = 15;

/** One process that follows the contract in the header comment of ../contender.ts. It starts at once, and only once. */
export class ProgramContender implements Contender {
  state: ContenderState = 'starting';
  /** Its handler was told never to return. */
  isBlocked = false;
  private readonly child: ChildProcess;
  private readonly orders: Writable;
  private readonly gone: Promise<void>;

  constructor(
    readonly name: string,
    command: Command,
    private readonly logFile: string,
    stack: DevStack,
    /** Called after each change of state. */
    onState: (contender: ProgramContender) => void,
  ) {
    const log = openSync(logFile, 'a');
    this.child = spawn(command.program, command.args, {
      stdio: ['pipe', 'pipe', log],
      // In a group of its own, for signals to all of it.
      detached: true,
      env: { ...process.env, ...command.environment, ...stack.environment },
    });
    closeSync(log);
    if (this.child.pid !== undefined) stack.adopt(this.child.pid, { group: true });
    this.orders = this.child.stdin!;
    // A process that was just killed is written to.
    this.orders.on('error', () => undefined);
    const enter = (state: ContenderState): void => {
      if (this.state === 'ended') return;
      this.state = state;
      onState(this);
    };
    createInterface({ input: this.child.stdout! }).on('line', (line) => {
      if (line === 'standing' || line === 'active' || line === 'inactive') enter(line);
    });
    this.gone = new Promise((resolve) => {
      const ended = (): void => {
        enter('ended');
        resolve();
      };
      this.child.once('exit', ended);
      this.child.once('error', ended); // It could not be executed at all.
    });
  }

  async kill(): Promise<void> {
    this.signal('SIGKILL');
    await this.gone;
  }

  freeze(): void {
    this.signal('SIGSTOP');
  }

  thaw(): void {
    this.signal('SIGCONT');
  }

  /** Resolves when the order is in the pipe. */
  order(order: 'resign' | 'block'): Promise<void> {
    if (order === 'block') this.isBlocked = true;
    return new Promise((resolve, reject) => {
      this.orders.write(`${order}\n`, (error) => (error ? reject(error) : resolve()));
    });
  }

  /** The last lines of its log, for a message about a failure. */
  logTail(): string {
    return readFileSync(this.logFile, 'utf8').trimEnd().split('\n').slice(-LOG_LINES_SHOWN).join('\n');
  }

  private signal(signal: NodeJS.Signals): void {
    if (this.state === 'ended' || this.child.pid === undefined) return;
    try {
      process.kill(-this.child.pid, signal);
    } catch {
      // It has ended, and its exit event is on the way.
    }
  }
}
