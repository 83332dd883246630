import { DeadlineWatch } from '../listener/deadline-watch';
import { FrameReader } from '../listener/watchdog-frames';
import type { SimulatedProcess } from './simulated-process';
import type { Pipe } from './world';

/** The listener's watchdog thread: what `watchdog.ts` wires. */
export class SimulatedWatchdog {
  readonly pipe: Pipe = { lastArrival: 0 };
  private readonly reader = new FrameReader();
  private readonly deadlines: DeadlineWatch;

  constructor(process: SimulatedProcess, kill: () => void) {
    // At the moment of its thread, which may have run ahead.
    this.deadlines = new DeadlineWatch(() => process.note(kill));
  }

  take(text: string): void {
    this.deadlines.take(this.reader.push(Buffer.from(text)));
  }
}
