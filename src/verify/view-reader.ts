import type { RegionStatus } from '../../workflows/contract';
import { isExpected } from '../client/expected-error';
import type { Config, LockSettings, RegionSettings } from '../config/config';
import { parseConnectionName } from '../listener/connection-name';
import type { CandidateKey, LockView } from '../pod/lock-store';
import { ManagementApi, managementFailure, NotThereError, vhostOf } from '../rabbitmq/management-api';
import { compareViews, type Comparison, type Readings } from './lock-views';

/** For a pod's health endpoint, and for a broker's management API. */
const limitMs = 5_000;

/** Where the views come from that need a connection. Both reject with an expected error where nobody answers. */
export interface ViewSources {
  readLock(lock: string): Promise<LockView>;
  status(lock: string, region: string): Promise<RegionStatus | 'not-running'>;
}

/** Asks everybody at the same time, and changes nothing. A source that is away is part of the answer. */
export async function readViews(
  config: Config,
  settings: LockSettings,
  sources: ViewSources,
): Promise<Comparison> {
  const { name: lock, queue } = settings;
  const reading = sources.readLock(lock).then(
    (view) => ({ view }),
    (error: unknown) => ({ away: expectedSentence(error) }),
  );
  const asked = Promise.all([
    Promise.all(
      config.regions.map(async ({ name }) => ({
        region: name,
        reading: await askWorkflow(sources, lock, name),
      })),
    ),
    Promise.all(brokersOf(config.regions).map((group) => askBroker(group, lock, queue.name))),
  ]);
  const etcd = await reading;
  const view = 'view' in etcd ? etcd.view : null;
  const [pods, [workflows, brokers]] = await Promise.all([
    Promise.all((view?.candidates ?? []).map((candidate) => askPod(candidate, lock))),
    asked,
  ]);
  const inRegion = (region: string): number =>
    (view?.candidates ?? []).filter((candidate) => candidate.region === region).length;
  return compareViews({
    lock,
    queue: queue.name,
    etcd: 'view' in etcd ? { holder: etcd.view.holder } : etcd,
    workflows: workflows.map((each) => ({ ...each, pods: inRegion(each.region) })),
    pods: withHolder(pods, view),
    brokers,
  });
}

/** A holder without a candidate key, as one that was fenced, has told nobody its address. */
function withHolder(pods: Readings['pods'], view: LockView | null): Readings['pods'] {
  const holder = view?.holder;
  if (!holder || pods.some(({ pod }) => pod === holder.pod)) return pods;
  const { region, pod } = holder;
  return [{ region, pod, reading: { away: 'etcd shows no candidate of this name' } }, ...pods];
}

async function askWorkflow(
  sources: ViewSources,
  lock: string,
  region: string,
): Promise<Readings['workflows'][number]['reading']> {
  try {
    const status = await sources.status(lock, region);
    if (status === 'not-running') return { running: false };
    const { phase, tenure, why } = status;
    return { running: true, phase, tenure, why };
  } catch (error) {
    return { away: expectedSentence(error) };
  }
}

async function askPod(candidate: CandidateKey, lock: string): Promise<Readings['pods'][number]> {
  const { region, pod, health } = candidate;
  if (health === undefined)
    return { region, pod, reading: { unknown: 'it has told no address of its health endpoint' } };
  try {
    const response = await fetch(`http://${health}/holder?lock=${encodeURIComponent(lock)}`, {
      // Nobody asks again before half a minute has passed.
      headers: { connection: 'close' },
      signal: AbortSignal.timeout(limitMs),
    });
    const answer = (await response.json()) as HolderAnswer;
    if (answer.pod !== pod)
      return { region, pod, reading: { away: `${health} is ${answer.pod ?? 'no pod'}` } };
    const [own] = answer.locks ?? [];
    if (!own)
      return { region, pod, reading: { away: `${health} answered: ${answer.why ?? response.status}` } };
    return { region, pod, reading: { holds: own.token ?? null, ok: own.ok, why: own.why } };
  } catch (error) {
    return { region, pod, reading: { away: `${health} gives no answer: ${managementFailure(error)}` } };
  }
}

interface HolderAnswer {
  pod?: string;
  why?: string;
  locks?: { ok: boolean; why: string; token?: number | null }[];
}

/** Regions that share a broker, as in tests and in small systems, have the same consumers. */
function brokersOf(regions: RegionSettings[]): RegionSettings[][] {
  const brokers = new Map<string, RegionSettings[]>();
  for (const region of regions) {
    const key = region.managementUrl ? `${region.managementUrl} ${vhostOf(region.amqpUrl)}` : region.name;
    brokers.set(key, [...(brokers.get(key) ?? []), region]);
  }
  return [...brokers.values()];
}

/** Under such a tag RabbitMQ moves messages to a federated queue elsewhere: no handler sees them there without a lock. */
const federationLink = 'federation-link-';

async function askBroker(
  group: RegionSettings[],
  lock: string,
  queue: string,
): Promise<Readings['brokers'][number]> {
  const regions = group.map(({ name }) => name);
  const [{ name, managementUrl, amqpUrl } = { name: '', amqpUrl: '' }] = group;
  if (managementUrl === undefined)
    return { regions, reading: { unknown: `regions.${name}.managementUrl is not configured` } };
  try {
    const { consumers } = await new ManagementApi(managementUrl, limitMs).queue(vhostOf(amqpUrl), queue);
    const own = consumers.filter(({ tag }) => !tag.startsWith(federationLink));
    const known = own.map((each) => ({
      ...each,
      from: each.clientName === null ? null : parseConnectionName(each.clientName),
    }));
    return {
      regions,
      reading: {
        consumers: known.flatMap(({ from }) => (from?.lock === lock ? [from] : [])),
        others: known
          .filter(({ from }) => from?.lock !== lock)
          .map(
            ({ connection, clientName, tag }) => `somebody else (${clientName ?? connection}, tag ${tag})`,
          ),
      },
    };
  } catch (error) {
    if (error instanceof NotThereError) return { regions, reading: { consumers: [], others: [] } };
    return { regions, reading: { away: `the broker of ${regions.join(', ')}: ${managementFailure(error)}` } };
  }
}

/** @throws what nobody has foreseen. */
function expectedSentence(error: unknown): string {
  if (!isExpected(error)) throw error;
  return error.message;
}
