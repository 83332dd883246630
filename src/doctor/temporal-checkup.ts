import type { Client } from '@temporalio/client';
import { searchAttributeKeys } from '../../workflows/search-attributes';
import type { Config } from '../config/config';
import { addressOf, connectTemporal, namespaceOf } from '../temporal/connection';
import { missingSearchAttributes } from '../temporal/search-attributes';
import { reasonOf } from '../temporal/temporal-away-error';
import { type Finding, findingsOf } from './finding';
import { measureRoundTrip, type RoundTrip, roundTripText } from './round-trip';

const limitMs = 5_000;

export async function checkTemporal(
  config: Config,
): Promise<{ findings: Finding[]; temporal: RoundTrip | null }> {
  const of = `Temporal ${addressOf(config)}`;
  const trips = findingsOf('round trips', of);
  let client: Client;
  try {
    client = await connectTemporal(config);
  } catch (error) {
    // Pods start and hold their locks without it.
    return {
      findings: [trips.error((error as Error).message, 'planned switches need Temporal')],
      temporal: null,
    };
  }
  try {
    const bounded = <T>(call: () => Promise<T>): Promise<T> =>
      client.withDeadline(Date.now() + limitMs, call);
    const { workflowService } = client;
    const { serverVersion } = await bounded(() => workflowService.getSystemInfo({}));
    const temporal = await bounded(() => measureRoundTrip(() => workflowService.getSystemInfo({})));
    return {
      findings: [
        findingsOf('versions', of).ok(`Temporal server ${serverVersion}`),
        trips.ok(`a call takes ${roundTripText(temporal)}`),
        await checkNamespace(client, namespaceOf(config), bounded),
        await checkSearchAttributes(client),
      ],
      temporal,
    };
  } catch (error) {
    return { findings: [trips.error(reasonOf(error), 'look at the server')], temporal: null };
  } finally {
    await client.connection.close();
  }
}

async function checkNamespace(
  { workflowService }: Client,
  namespace: string,
  bounded: <T>(call: () => Promise<T>) => Promise<T>,
): Promise<Finding> {
  const { ok, error: failed } = findingsOf('temporal', `namespace ${namespace}`);
  try {
    const { config } = await bounded(() => workflowService.describeNamespace({ namespace }));
    const days = Math.round(Number(config?.workflowExecutionRetentionTtl?.seconds ?? 0) / 86_400);
    return ok(
      `can be reached; histories are kept for ${days === 1 ? 'a day' : `${days} days`}, receipts in etcd for longer`,
    );
  } catch (error) {
    return failed(reasonOf(error), 'create the namespace, or correct temporal.namespace and its permissions');
  }
}

async function checkSearchAttributes(client: Client): Promise<Finding> {
  const { ok, warning } = findingsOf('temporal', 'search attributes');
  const all = Object.values(searchAttributeKeys).map(({ name }) => name);
  try {
    const missing = await missingSearchAttributes(client);
    if (missing.length === 0) return ok(`${all.join(', ')} are registered`);
    return warning(`${missing.join(', ')} are not registered`, 'baton start registers them, where it may');
  } catch (error) {
    return warning(`not told: ${reasonOf(error)}`, `register ${all.join(', ')} by hand, or do without them`);
  }
}
