import type { MessageMetrics } from './message-metrics';
import type { ListenerStats } from './protocol';
import { isPipeFree, sendToAgent } from './agent-pipe';

const intervalMs = 1_000;

/** Sends counts and metrics once a second, unless the agent has not read the last ones yet. */
export function reportStats(metrics: MessageMetrics, stats: () => ListenerStats[]): NodeJS.Timeout {
  return setInterval(() => {
    if (!isPipeFree()) return;
    void metrics.registry.getMetricsAsJSON().then((json) => {
      sendToAgent({ kind: 'stats', stats: stats(), metrics: json });
    });
  }, intervalMs);
}
