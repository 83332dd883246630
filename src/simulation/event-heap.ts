import type { SimulatedProcess } from './simulated-process';

/** What a thawed process does first: the timers that have run out, then what came in, then what it put off. */
export type EventKind = 'timer' | 'input' | 'immediate';

/** Something that happens at a moment: in a process, or outside of all of them. */
export interface SimulatedEvent {
  /** Global ms. */
  time: number;
  /** Equal times happen in this order. */
  seq: number;
  process: SimulatedProcess | null;
  kind: EventKind;
  /** `null`: called off. */
  run: (() => void) | null;
}

const before = (a: SimulatedEvent, b: SimulatedEvent): boolean =>
  a.time < b.time || (a.time === b.time && a.seq < b.seq);

/** A binary heap of events, the earliest first. */
export class EventHeap {
  private readonly events: SimulatedEvent[] = [];

  get size(): number {
    return this.events.length;
  }

  push(event: SimulatedEvent): void {
    const { events } = this;
    let index = events.length;
    events.push(event);
    while (index > 0) {
      const parent = (index - 1) >> 1;
      const above = events[parent] as SimulatedEvent;
      if (!before(event, above)) break;
      events[index] = above;
      index = parent;
    }
    events[index] = event;
  }

  pop(): SimulatedEvent | undefined {
    const { events } = this;
    const first = events[0];
    const last = events.pop();
    if (!first || !last || first === last) return first;
    let index = 0;
    for (;;) {
      let child = 2 * index + 1;
      if (child >= events.length) break;
      const right = events[child + 1];
      if (right && before(right, events[child] as SimulatedEvent)) child += 1;
      const below = events[child] as SimulatedEvent;
      if (!before(below, last)) break;
      events[index] = below;
      index = child;
    }
    events[index] = last;
    return first;
  }

  /** Moves some of the events to another time. */
  shift(matches: (event: SimulatedEvent) => boolean, byMs: number): void {
    const all = this.events.splice(0);
    for (const event of all) {
      if (matches(event)) event.time += byMs;
      this.push(event);
    }
  }
}
