import type { ServerResponse } from 'node:http';
import type { DashboardFeed } from './dashboard-feed';
import type { FeedEvents, Snapshot } from './feed-contract';

/** Shorter than the silence after which the page takes the connection for lost, and a proxy might cut it. */
const signEveryMs = 5_000;
/** A viewer that reads slower than this much piles up starts anew. */
const maxPendingBytes = 8_000_000;
/** ms after which the browser connects again. */
const retryMs = 1_000;
const passedOn = ['lock', 'history', 'samples', 'temporal', 'action'] as const satisfies (keyof FeedEvents)[];

/** One viewer's server-sent events: everything first, then what changes. Ends with the connection. */
export function streamEvents(
  response: ServerResponse,
  feed: DashboardFeed,
  actions: Snapshot['actions'],
): void {
  const send = (name: string, content: unknown): void => {
    response.write(`event: ${name}\ndata: ${JSON.stringify(content)}\n\n`);
    if (response.writableLength > maxPendingBytes) response.destroy();
  };
  response.write(`retry: ${retryMs}\n\n`);
  send('snapshot', feed.snapshot(actions));
  const listeners = passedOn.map((name) => {
    const listener = (content: unknown): void => send(name, content);
    feed.on(name, listener);
    return () => feed.off(name, listener);
  });
  const sign = setInterval(() => send('sign', Date.now()), signEveryMs);
  const leave = feed.watched();
  response.on('close', () => {
    clearInterval(sign);
    leave();
    for (const off of listeners) off();
  });
}
