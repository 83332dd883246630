import type { Behaviour } from '../handler';
import type { FaultMaker } from './fault';

/** Sends messages that misbehave; they are not taken back. */
const send =
  (behave: Behaviour, count: (strength: number) => number): FaultMaker =>
  async ({ strength }, { system }) => {
    const messages = count(strength);
    const sent = system.load.misbehave(behave, messages);
    return { target: `${messages} ${messages === 1 ? 'message' : 'messages'}`, end: () => sent };
  };

const one = (): number => 1;

export const messageFaults = {
  'handler-throw': send('throw', (strength) => Math.round(1 + strength * 20)),
  'handler-hang': send('hang', (strength) => Math.round(1 + strength * 3)),
  'handler-block': send('block', one),
  'handler-leak': send('leak', one),
  'handler-exit': send('exit', one),
  'handler-slow': send('slow', (strength) => Math.round(1 + strength * 6)),
} as const satisfies Record<string, FaultMaker>;
