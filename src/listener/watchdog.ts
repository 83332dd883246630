import { Socket } from 'node:net';
import { parentPort } from 'node:worker_threads';
import { DeadlineWatch } from './deadline-watch';
import { killOwnGroup } from './process-group';
import { watchdogFd } from './protocol';
import { FrameReader } from './watchdog-frames';

/**
 * Runs in a worker thread of the listener, with an event loop of its own, and ends the process
 * - when a tenure's deadline has passed, or the machine was suspended since it was set,
 * - when the pipe from the agent ends, because then the agent is dead.
 *
 * It depends on nothing of the main thread, which may be stuck in a busy loop, and logs nothing: a full pipe at
 * standard output would hold up the kill.
 */

const reader = new FrameReader();
const deadlines = new DeadlineWatch(killOwnGroup);

const pipe = new Socket({ fd: watchdogFd, readable: true, writable: false });
pipe.on('data', (chunk: Buffer) => {
  // What throws here ends this thread, and the main thread ends the process when it does.
  deadlines.take(reader.push(chunk));
});
for (const event of ['end', 'error', 'close']) pipe.on(event, () => killOwnGroup());

// So that the listener is called warm only once this thread watches. Nothing is ever received here.
// oxlint-disable-next-line unicorn/require-post-message-target-origin -- a worker's port, not a window
parentPort?.postMessage('watching');
