import type { BatonClient } from '../client/baton-client';
import { DashboardActions } from './dashboard-actions';
import { DashboardFeed } from './dashboard-feed';
import { DashboardServer } from './dashboard-server';
import type { ActionRecord } from './feed-contract';
import type { ServerTls } from './http-server';
import { isLoopback } from './loopback';
import { RequestGuard } from './request-guard';

export interface DashboardOptions {
  client: BatonClient;
  host: string;
  /** 0 takes any free port. */
  port: number;
  tokens?: { who: string; token: string }[];
  identityHeader?: string;
  publicOrigin?: string;
  /** Base address of the Temporal UI; its namespace is the configuration's. */
  temporalUiUrl?: string;
  /** Default: plain HTTP. */
  tls?: ServerTls | undefined;
  /** Told of each action when it begins and when it ends. */
  onAction?: (action: ActionRecord) => void;
}

export interface RunningDashboard {
  /** Of the page. */
  url: string;
  /** Idempotent. The client stays open. */
  close(): Promise<void>;
}

/** Serves the dashboard until closed. @throws Error naming the address, when it cannot be listened on. */
export async function startDashboard(options: DashboardOptions): Promise<RunningDashboard> {
  const { client, host, port, tokens = [], identityHeader, publicOrigin, temporalUiUrl, onAction } = options;
  const { namespaceOf } = await import('../temporal/connection.js');
  const feed = new DashboardFeed({
    client,
    temporalUi:
      temporalUiUrl === undefined
        ? undefined
        : { url: temporalUiUrl.replace(/\/+$/, ''), namespace: namespaceOf(client.config) },
  });
  const actions = new DashboardActions(client, (action) => {
    feed.noteAction(action);
    if (action.outcome !== 'running' || action.steps.length === 0) onAction?.(action);
  });
  const guard = new RequestGuard({
    tokens,
    loopback: isLoopback(host),
    ...(identityHeader !== undefined && { identityHeader }),
    ...(publicOrigin !== undefined && { publicOrigin }),
  });
  const server = new DashboardServer({ host, port, feed, actions, guard, tls: options.tls });
  await feed.prepare();
  const url = await server.open();
  // The page comes up also while etcd is away, and says so.
  void feed.start();
  return {
    url,
    async close() {
      feed.close();
      await server.close();
    },
  };
}
