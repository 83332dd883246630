import { Client, Connection } from '@temporalio/client';
import { type ClientConnectConfig, loadClientConnectConfig } from '@temporalio/envconfig';
import type { Config } from '../config/config';
import { RegionClient } from './region-client';
import { TemporalAwayError } from './temporal-away-error';

/** A server that has not answered by then is away. */
export const connectLimitMs = 5_000;

/** Reconnects soon after an outage: by default the pauses grow to two minutes. */
const channelArgs = { 'grpc.initial_reconnect_backoff_ms': 200, 'grpc.max_reconnect_backoff_ms': 2_000 };

export const addressOf = (config: Config): string =>
  temporalTarget(config).connectionOptions.address ?? 'localhost:7233';
export const namespaceOf = (config: Config): string => temporalTarget(config).namespace ?? 'default';

/**
 * Connects a client for signals, queries and starts; it survives an outage of the server.
 * @throws TemporalAwayError naming the server and the setting, after five seconds at most.
 */
export const connectClient = async (config: Config): Promise<RegionClient> =>
  new RegionClient(await connectTemporal(config), config, addressOf(config));

/** The SDK's own client, connected as above. */
export async function connectTemporal(config: Config): Promise<Client> {
  const { connectionOptions } = temporalTarget(config);
  const { address, apiKey, tls, metadata } = connectionOptions;
  const connection = await orAway(config, () =>
    Connection.connect({
      connectTimeout: connectLimitMs,
      channelArgs,
      ...(address === undefined ? {} : { address }),
      ...(apiKey === undefined ? {} : { apiKey }),
      ...(tls === undefined ? {} : { tls }),
      ...(metadata === undefined ? {} : { metadata }),
    }),
  );
  return new Client({
    connection,
    namespace: namespaceOf(config),
    // A closed workflow's last word would be taken for its present one.
    workflow: { queryRejectCondition: 'NOT_OPEN' },
  });
}

/** Temporal's own variables and profile file, under what baton.yaml and BATON_TEMPORAL_… say. */
export function temporalTarget({ temporal }: Config): ClientConnectConfig {
  const { connectionOptions, namespace = 'default' } = loadClientConnectConfig();
  const { address, apiKey } = temporal;
  return {
    namespace: temporal.namespace ?? namespace,
    connectionOptions: {
      ...connectionOptions,
      ...(address === undefined ? {} : { address }),
      // A key needs TLS, unless the profile says otherwise.
      ...(apiKey === undefined ? {} : { apiKey, tls: connectionOptions.tls ?? true }),
    },
  };
}

export async function orAway<T>(config: Config, connect: () => Promise<T>): Promise<T> {
  try {
    return await connect();
  } catch (error) {
    throw new TemporalAwayError(addressOf(config), error);
  }
}
