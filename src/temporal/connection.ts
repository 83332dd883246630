import { Client, Connection } from '@temporalio/client';
import { type ClientConnectConfig, loadClientConnectConfig } from '@temporalio/envconfig';
import type { Config, TemporalAddress } from '../config/config';
import { currentSecret } from '../config/secret-file';
import { hasTlsFiles, readTlsFiles } from '../config/tls-files';
import { whyNotSecure } from '../config/tls-check';
import { dataConverterOf } from './data-converter';
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
      // Asked for with each request: one that has been replaced counts from then on.
      ...(apiKey === undefined ? {} : { apiKey: () => currentSecret(config.temporal.apiKeyFile, apiKey) }),
      ...(tls === undefined ? {} : { tls }),
      ...(metadata === undefined ? {} : { metadata }),
    }),
  );
  return new Client({
    connection,
    namespace: namespaceOf(config),
    // A closed workflow's last word would be taken for its present one.
    workflow: { queryRejectCondition: 'NOT_OPEN' },
    dataConverter: dataConverterOf(config.temporal),
  });
}

/** Temporal's own variables and profile file, under what baton.yaml and BATON_TEMPORAL_… say. */
export function temporalTarget({ temporal }: Config): ClientConnectConfig {
  const { connectionOptions, namespace = 'default' } = loadClientConnectConfig();
  const { address } = temporal;
  const apiKey = temporal.apiKey && currentSecret(temporal.apiKeyFile, temporal.apiKey);
  const tls = tlsOf(temporal, connectionOptions.tls);
  return {
    namespace: temporal.namespace ?? namespace,
    connectionOptions: {
      ...connectionOptions,
      ...(address === undefined ? {} : { address }),
      ...(apiKey === undefined ? {} : { apiKey }),
      ...(tls === undefined ? {} : { tls }),
    },
  };
}

type Tls = ClientConnectConfig['connectionOptions']['tls'];

/** A file or a key means TLS, unless the profile says otherwise; files win over the profile's, one by one. */
function tlsOf(temporal: TemporalAddress, profile: Tls): Tls {
  if (!hasTlsFiles(temporal)) return temporal.apiKey === undefined ? profile : (profile ?? true);
  const { ca, cert, key } = readTlsFiles(temporal);
  return {
    ...(typeof profile === 'object' ? profile : {}),
    ...(ca && { serverRootCACertificate: ca }),
    ...(cert && key && { clientCertPair: { crt: cert, key } }),
  };
}

export async function orAway<T>(config: Config, connect: () => Promise<T>): Promise<T> {
  try {
    return await connect();
  } catch (error) {
    const { address = 'localhost:7233', tls } = temporalTarget(config).connectionOptions;
    // The SDK says no more than that it could not connect in time.
    throw new TemporalAwayError(address, error, tls ? await whyNotSecure(address, nodeTls(tls)) : null);
  }
}

/** Why there can be no secure connection to Temporal, or `null`: also when it does not answer, or without TLS. */
export async function whyNoTls(config: Config): Promise<string | null> {
  const { address = 'localhost:7233', tls } = temporalTarget(config).connectionOptions;
  if (!tls) return null;
  const why = await whyNotSecure(address, nodeTls(tls));
  return why && new TemporalAwayError(address, undefined, why).message;
}

function nodeTls(tls: NonNullable<Tls>): Parameters<typeof whyNotSecure>[1] {
  if (typeof tls !== 'object') return {};
  const { serverRootCACertificate: ca, clientCertPair: pair, serverNameOverride: servername } = tls;
  return {
    ...(ca && { ca: Buffer.from(ca) }),
    ...(pair && { cert: Buffer.from(pair.crt), key: Buffer.from(pair.key) }),
    ...(servername && { servername }),
  };
}
