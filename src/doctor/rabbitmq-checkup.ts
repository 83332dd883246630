import { type ChannelModel, connect } from 'amqplib';
import type { Config, LockSettings, RegionSettings } from '../config/config';
import { ManagementApi, managementFailure, vhostOf } from '../rabbitmq/management-api';
import { type Finding, findingsOf } from './finding';
import { learnQueueArguments, tryStep } from './queue-arguments';
import { measureRoundTrip, type RoundTrip, roundTripText } from './round-trip';

const limitMs = 5_000;
const [accessRefused, notFound, preconditionFailed] = [403, 404, 406];

/** Regions whose broker's address this configuration has. Nothing is declared that is not there already. */
export async function checkRabbitmq(
  config: Config,
): Promise<{ findings: Finding[]; broker: RoundTrip | null }> {
  const findings: Finding[] = [];
  const trips: RoundTrip[] = [];
  const seen = new Set<string>();
  for (const region of config.regions) {
    if (region.amqpUrl === '') {
      const { warning } = findingsOf('round trips', `RabbitMQ of ${region.name}`);
      findings.push(
        warning('not asked: its address is not configured here', `run baton doctor in ${region.name}`),
      );
    } else if (!seen.has(region.amqpUrl)) {
      seen.add(region.amqpUrl);
      const found = await checkBroker(region, config.locks);
      findings.push(...found.findings);
      if (found.trip) trips.push(found.trip);
    }
  }
  const worst = trips.toSorted((a, b) => b.median - a.median)[0];
  return { findings, broker: worst ?? null };
}

async function checkBroker(
  region: RegionSettings,
  locks: LockSettings[],
): Promise<{ findings: Finding[]; trip: RoundTrip | null }> {
  const of = `RabbitMQ of ${region.name}`;
  const trips = findingsOf('round trips', of);
  let connection: ChannelModel;
  try {
    connection = await connect(region.amqpUrl, {
      timeout: limitMs,
      clientProperties: { connection_name: 'baton/doctor' },
    });
  } catch (error) {
    const why = `no connection: ${(error as Error).message || String(error)}`;
    return {
      findings: [trips.error(why, `regions.${region.name}.amqpUrl, its user and virtual host`)],
      trip: null,
    };
  }
  connection.on('error', () => {});
  try {
    const channel = await connection.createChannel();
    const trip = await measureRoundTrip(() => channel.prefetch(1));
    const { version } = connection.connection.serverProperties as { version?: string };
    const findings = [versionFinding(of, version), trips.ok(`a call takes ${roundTripText(trip)}`)];
    for (const lock of locks) findings.push(...(await checkQueue(connection, region, lock)));
    return { findings, trip };
  } catch (error) {
    return { findings: [trips.error((error as Error).message, 'look at the broker')], trip: null };
  } finally {
    // It may be gone by now.
    await connection.close().catch(() => {});
  }
}

function versionFinding(of: string, version = 'of an unknown version'): Finding {
  const { ok, warning, error } = findingsOf('versions', of);
  const [major = NaN, minor = NaN] = version.split('.').map(Number);
  if (major < 3 || (major === 3 && minor < 8))
    return error(`RabbitMQ ${version} has no quorum queues`, 'RabbitMQ 3.10 or later');
  if (major === 3 && minor < 10) return warning(`RabbitMQ ${version}`, 'RabbitMQ 3.10 or later');
  return ok(`RabbitMQ ${version}`);
}

async function checkQueue(
  connection: ChannelModel,
  region: RegionSettings,
  { queue }: LockSettings,
): Promise<Finding[]> {
  const { name, declare, deadLetterExchange } = queue;
  const of = `queue ${name} in ${region.name}`;
  const { ok, error } = findingsOf('queues', of);
  const there = await tryStep(connection, (channel) => channel.checkQueue(name));
  if ('refusal' in there && there.code === notFound)
    return declare
      ? [ok('is not there yet: the first pod declares it, with its dead-letter exchange and queue')]
      : [error('is not there, and queue.declare is false', 'declare it, or set queue.declare to true')];
  if ('refusal' in there)
    return [findingsOf('permissions', of).error(there.refusal, 'permission to configure and read it')];
  const found = await readArguments(connection, region, queue);
  return [
    await checkRead(connection, of, name),
    ...(found.arguments === null
      ? [
          findingsOf('permissions', of).error(
            `may not be declared: ${found.why}`,
            'permission to configure it, or its arguments',
          ),
        ]
      : argumentFindings(of, queue, found.arguments)),
    await checkDeadLetters(connection, region, of, deadLetterExchange),
  ];
}

/** By the management API where there is one: it knows policies, too. */
async function readArguments(
  connection: ChannelModel,
  { amqpUrl, managementUrl }: RegionSettings,
  { name, declare, deadLetterExchange, deliveryLimit }: LockSettings['queue'],
): Promise<{ arguments: Record<string, unknown> } | { arguments: null; why: string }> {
  if (managementUrl !== undefined && !declare)
    try {
      const found = await new ManagementApi(managementUrl, limitMs).queue(vhostOf(amqpUrl), name);
      const { policy } = found;
      return {
        arguments: {
          'x-queue-type': found.type,
          ...(policy['dead-letter-exchange'] !== undefined && {
            'x-dead-letter-exchange': policy['dead-letter-exchange'],
          }),
          ...(policy['delivery-limit'] !== undefined && { 'x-delivery-limit': policy['delivery-limit'] }),
          ...found.arguments,
        },
      };
    } catch {
      // The broker itself tells as well, but for policies.
    }
  return learnQueueArguments(connection, name, {
    'x-queue-type': 'quorum',
    'x-dead-letter-exchange': deadLetterExchange,
    'x-delivery-limit': deliveryLimit,
  });
}

function argumentFindings(
  of: string,
  { declare, deadLetterExchange, deliveryLimit, maxDeliveries }: LockSettings['queue'],
  found: Record<string, unknown>,
): Finding[] {
  const { ok, warning, error } = findingsOf('queues', of);
  const {
    'x-queue-type': type = 'classic',
    'x-dead-letter-exchange': exchange,
    'x-delivery-limit': limit,
  } = found;
  const findings: Finding[] = [];
  if (type === 'quorum') findings.push(ok('is a quorum queue'));
  else
    findings.push(
      error(
        `is a ${text(type)} queue: it can lose messages with its node, and does not count deliveries`,
        'move its messages to a quorum queue of the same name',
      ),
    );
  const refused = declare ? ' (and a pod refuses to use it: queue.declare is true)' : '';
  if (exchange === undefined)
    findings.push(
      error(
        `has no dead-letter exchange: what reaches its delivery limit is lost${refused}`,
        `x-dead-letter-exchange ${deadLetterExchange}, as an argument or by a policy`,
      ),
    );
  else if (exchange !== deadLetterExchange)
    findings.push(
      warning(
        `has the dead-letter exchange ${text(exchange)}, and queue.deadLetterExchange is ${deadLetterExchange}${refused}`,
        'name the same one in both places',
      ),
    );
  else findings.push(ok(`dead-letters to ${deadLetterExchange}`));
  if (typeof limit === 'number' && limit <= maxDeliveries)
    findings.push(
      error(
        `has a delivery limit of ${limit}, not above maxDeliveries (${maxDeliveries})`,
        'a higher limit: 100',
      ),
    );
  else if (declare && limit !== deliveryLimit)
    findings.push(
      error(
        `has a delivery limit of ${limit === undefined ? 'none' : text(limit)}, and queue.deliveryLimit is ${deliveryLimit}${refused}`,
        'the same in both places',
      ),
    );
  return findings;
}

/** Consuming with a wrong argument: the broker looks at the permission first, and delivers nothing in any case. */
async function checkRead(connection: ChannelModel, of: string, queue: string): Promise<Finding> {
  const { ok, error } = findingsOf('permissions', of);
  const answer = await tryStep(connection, async (channel) => {
    const { consumerTag } = await channel.consume(queue, () => {}, { arguments: { 'x-priority': 'none' } });
    await channel.cancel(consumerTag);
  });
  if ('refusal' in answer && answer.code === accessRefused)
    return error(answer.refusal, 'permission to read the queue');
  if ('refusal' in answer && answer.code !== preconditionFailed)
    return error(answer.refusal, 'look at the broker');
  return ok('may be consumed');
}

async function checkDeadLetters(
  connection: ChannelModel,
  { amqpUrl, managementUrl }: RegionSettings,
  of: string,
  exchange: string,
): Promise<Finding> {
  const { ok, warning, error } = findingsOf('queues', of);
  const answer = await tryStep(connection, (channel) => channel.checkExchange(exchange));
  if ('refusal' in answer)
    return error(
      `dead-letter exchange ${exchange}: ${answer.refusal}`,
      `declare the exchange ${exchange} and bind a queue to it, or set queue.declare to true`,
    );
  if (managementUrl === undefined) return ok(`dead-letter exchange ${exchange} is there`);
  try {
    const queues = await new ManagementApi(managementUrl, limitMs).boundQueues(vhostOf(amqpUrl), exchange);
    if (queues.length > 0) return ok(`dead letters wait in ${queues.join(', ')}`);
    return error(
      `no queue is bound to the dead-letter exchange ${exchange}: dead letters are lost`,
      'bind one',
    );
  } catch (failure) {
    return warning(
      `dead-letter exchange ${exchange} is there; its bindings were not told: ${managementFailure(failure)}`,
      `regions.managementUrl`,
    );
  }
}

/** An argument's value, which is a text or a number. */
const text = (value: unknown): string => (typeof value === 'string' ? value : JSON.stringify(value));
