import { EventEmitter } from 'node:events';
import type { AgentMessage, ListenerMessage } from '../listener/protocol';
import { SimulatedListener, type ListenerMeans } from './simulated-listener';
import { SimulatedProcess } from './simulated-process';
import { SimulatedWatchdog } from './simulated-watchdog';
import type { Pipe } from './world';

/** A forked listener as its agent sees it: the child process's handle, with both of its pipes. */
export class SimulatedChild extends EventEmitter {
  readonly pid: number;
  connected = true;
  readonly stdio: unknown[];
  /** The two threads of the process. */
  readonly main: SimulatedProcess;
  readonly watchdog: SimulatedProcess;
  private readonly there: Pipe = { lastArrival: 0 };
  private readonly back: Pipe = { lastArrival: 0 };
  private listener: SimulatedListener | null = null;

  constructor(
    private readonly agent: SimulatedProcess,
    name: string,
    means: ListenerMeans,
    onSpawn: (child: SimulatedChild) => void,
  ) {
    super();
    const { world, machine } = agent;
    this.pid = world.nextPid();
    this.main = new SimulatedProcess(world, name, machine);
    this.watchdog = new SimulatedProcess(world, `${name} watchdog`, machine);
    world.groups.set(this.pid, (why) => this.die(why));
    const bootMs = world.between(20, 150);
    this.main.bootFor(bootMs);
    this.watchdog.bootFor(bootMs);
    const killSelf = (why: string): void => void this.die(why);
    world.enter(this.main, () => {
      const send = (message: ListenerMessage): void => this.sendBack(message);
      this.listener = new SimulatedListener(this.main, means, send);
    });
    const watch = new SimulatedWatchdog(this.watchdog, () => killSelf('its watchdog ends it'));
    this.stdio = [
      null,
      null,
      null,
      null,
      {
        on: () => {},
        destroy: () => {},
        write: (text: string) =>
          world.transmit({ from: agent, to: this.watchdog, ...quick, pipe: watch.pipe }, () =>
            watch.take(text),
          ),
      },
    ];
    agent.onKill.push(() => {
      for (const thread of [this.main, this.watchdog])
        world.transmit({ to: thread, ...quick }, () => killSelf('its agent is gone'));
    });
    onSpawn(this);
  }

  get isAlive(): boolean {
    return this.main.isAlive;
  }

  send(message: AgentMessage, sent?: () => void): boolean {
    const { world } = this.agent;
    world.transmit({ from: this.agent, to: this.main, ...quick, pipe: this.there }, () => {
      if (message.kind === 'exit') this.die('told to exit');
      else this.listener?.receive(message);
    });
    // Only the next deadline waits for the pipe to be free.
    if (sent && message.kind === 'deadline')
      world.transmit({ from: this.agent, to: this.agent, ...quick }, sent);
    return true;
  }

  kill(): boolean {
    return this.die('SIGKILL');
  }

  private sendBack(message: ListenerMessage): void {
    const { world } = this.agent;
    world.transmit({ from: this.main, to: this.agent, ...quick, pipe: this.back }, () =>
      this.emit('message', message),
    );
  }

  private die(why: string): boolean {
    if (!this.main.isAlive) return false;
    this.main.kill(why);
    this.watchdog.kill(why);
    const { world } = this.agent;
    world.groups.delete(this.pid);
    // Its death notice may overtake what it has sent; without one the agent waits for the kernel's report.
    world.transmit({ to: this.agent, minMs: 0.05, maxMs: 5 }, () => {
      this.connected = false;
      this.emit('exit', null, 'SIGKILL');
    });
    return true;
  }
}

/** A pipe of the same machine. */
const quick = { minMs: 0.03, maxMs: 0.4 };
