/** The demo's handler, with messages that misbehave: `{"seq": 7, "behave": "block"}`. */
import { setTimeout as sleep } from 'node:timers/promises';
import { handle as work } from '../../src/demo/handler';
import type { Handler } from '../../src/listener/handler';

export type Behaviour =
  /** Keeps the event loop busy for 60 s, and starts no second time: only where it was first. */
  | 'block'
  /** A promise that never settles. */
  | 'hang'
  | 'throw'
  /** Takes eight seconds: less than the drain limit of the tests, more than two commands. */
  | 'slow'
  /** Ends the process. */
  | 'exit';

export const handle: Handler = async (message, context) => {
  const { behave } = JSON.parse(message.body.toString()) as { behave?: Behaviour };
  if (behave === 'slow') await sleep(8_000);
  if (behave === 'throw') throw new Error('told to throw');
  // A message that kills its listener behaves the second time, else it would go through all pods.
  if (context.redeliveries === 0) {
    if (behave === 'block') for (const end = Date.now() + 60_000; Date.now() < end;);
    if (behave === 'hang') await new Promise(() => {});
    if (behave === 'exit') process.exit(3);
  }
  await work(message, context);
};
