import type { ListenerMessage } from './protocol';

let unread = 0;

/** Whether the agent's side has taken everything that was sent. */
export const isPipeFree = (): boolean => unread === 0;

export function sendToAgent(message: ListenerMessage): void {
  if (!process.connected || !process.send) return;
  unread += 1;
  process.send(message, undefined, undefined, () => {
    // Also after an error: the agent is gone then, and `disconnect` ends this process.
    unread -= 1;
  });
}
