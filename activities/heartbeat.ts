import { Context } from '@temporalio/activity';

/** Heartbeats tell the workflow soon when the pod has died, and bring a cancellation to it. */
export async function withHeartbeat<T>(
  everyMs: number,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const context = Context.current();
  const timer = setInterval(() => context.heartbeat(), everyMs);
  try {
    return await work(context.cancellationSignal);
  } finally {
    clearInterval(timer);
  }
}
