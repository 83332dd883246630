import { Client, Connection } from '@temporalio/client';
import { temporal } from '@temporalio/proto';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { RabbitmqServer } from '../dev/rabbitmq-server';
import type { NemesisFinding } from './nemesis';
import { effectsIn } from './torture-store';
import { lock, regions, type TortureSystem } from './torture-system';

/** Nothing was worked on for so long: what is missing by then does not come any more. */
const quietLimitMs = 60_000;
/** For the last acknowledgements and for the beats that tell Temporal who holds. */
const afterLastMs = 6_000;
const pollMs = 200;
const listAttempts = 5;
const History = temporal.api.history.v1.History;
/** `2026-01-31 04:07:34.753591+00:00 [warning] <0.1.0> closing AMQP connection <0.1.0> (… - baton/LOCK/REGION/POD, …`. */
const connectionEnd =
  /^(\S+ \S+) \[\w+\] <[\d.]+> closing AMQP connection [^\n]* - baton\/[^/\n]+\/[^/\n]+\/([\w.-]+)/gm;
const format = { longs: String, enums: String, bytes: String };

/** Stops the load and waits until everything that the broker has confirmed was worked on, and the lock is held. */
export async function settle(
  { load, ledger, observer }: TortureSystem,
  signal: AbortSignal,
): Promise<NemesisFinding[]> {
  load.pause();
  await load.settle();
  let missing = load.confirmed.size;
  let giveUpAt = performance.now() + quietLimitMs;
  while (missing > 0 || observer.holderPod === null) {
    signal.throwIfAborted();
    ledger.read();
    const still = [...load.confirmed].filter((id) => !ledger.finished.has(id)).length;
    if (still < missing) giveUpAt = performance.now() + quietLimitMs;
    missing = still;
    if (performance.now() > giveUpAt) break;
    await sleep(pollMs);
  }
  await sleep(afterLastMs, undefined, { signal });
  const findings: NemesisFinding[] = [];
  const within = `${quietLimitMs / 1000} s after the last progress, with everything healed,`;
  if (missing > 0)
    findings.push({ kind: 'liveness', text: `${within} ${missing} messages were never finished` });
  if (observer.holderPod === null)
    findings.push({ kind: 'liveness', text: `${within} nobody holds the lock` });
  return findings;
}

/**
 * Waits, within a limit, until the newest region workflows tell what etcd shows. Whether they do is judged by their
 * histories; on a busy machine they are only late.
 */
export async function awaitWorkflows(
  { servers, observer }: TortureSystem,
  signal: AbortSignal,
): Promise<void> {
  const connection = await Connection.connect({ address: servers.temporal.address });
  try {
    const client = new Client({ connection, namespace: servers.temporal.namespace });
    const agree = async (): Promise<boolean> => {
      const states = await Promise.all(
        regions.map(async (region) => {
          const { searchAttributes } = await client.workflow.getHandle(`baton/${lock}/${region}`).describe();
          const active = searchAttributes['BatonState']?.[0] === 'active';
          return { active, token: searchAttributes['BatonToken']?.[0] };
        }),
      );
      const active = states.filter((each) => each.active);
      return active.length === 1 && active[0]!.token === observer.token;
    };
    const giveUpAt = performance.now() + quietLimitMs;
    while (performance.now() < giveUpAt && !(await agree().catch(() => false)))
      await sleep(1_000, undefined, { signal });
  } finally {
    await connection.close();
  }
}

/** Writes down what the servers say at the end. */
export async function collectEnd(system: TortureSystem): Promise<void> {
  collectConnections(system);
  await Promise.all([
    collectBroker(system),
    collectEffects(system),
    collectHistories(system),
    system.observer.finish(),
  ]);
}

interface QueueRow {
  name: string;
  messages_ready: number;
  messages_unacknowledged: number;
}

/** On a busy machine `rabbitmqctl` may leave a queue out that did not answer in time, or all of them: asked again. */
async function listQueues(rabbitmq: RabbitmqServer): Promise<QueueRow[]> {
  const columns = ['name', 'messages_ready', 'messages_unacknowledged'];
  for (let attempt = 1; ; attempt++) {
    const output = await rabbitmq.ctl('list_queues', '--formatter', 'json', ...columns);
    const rows = output.trim() === '' ? [] : (JSON.parse(output) as QueueRow[]);
    if (rows.some(({ name }) => name === lock) || attempt === listAttempts) return rows;
    await sleep(afterLastMs);
  }
}

async function collectBroker({ servers, recorder }: TortureSystem): Promise<void> {
  const rows = await listQueues(servers.rabbitmq);
  const row = (name: string) => rows.find((each) => each.name === name);
  const own = row(lock);
  if (!own)
    throw new Error(
      `RabbitMQ has no queue ${lock} at the end, only ${rows.map(({ name }) => name).join(', ')}`,
    );
  recorder.broker([
    {
      lock,
      queue: lock,
      ready: own.messages_ready,
      unacked: own.messages_unacknowledged,
      deadLettered: row(`${lock}.dead`)?.messages_ready ?? 0,
    },
  ]);
}

/** What the store took, by its own word; what it refused, by the handlers'. */
async function collectEffects({ servers, recorder, ledger }: TortureSystem): Promise<void> {
  ledger.read();
  const refused = ledger.refused.map((each) => ({ ...each, accepted: false }));
  for (const effect of [...(await effectsIn(servers.store.url)), ...refused]) recorder.effect(effect);
}

/** Which connections ended otherwise than by the pod's word, by the broker's own log. */
function collectConnections({ recorder, servers }: TortureSystem): void {
  const wallNs = BigInt(Date.now()) * 1_000_000n;
  const offsetNs = process.hrtime.bigint() - wallNs;
  for (const [, time, pod] of readFileSync(servers.rabbitmqLog, 'utf8').matchAll(connectionEnd))
    recorder.connectionEnd({
      lock,
      pod: pod!,
      at: (BigInt(Date.parse(time!.replace(' ', 'T'))) * 1_000_000n + offsetNs).toString(),
    });
}

/** Of every run of every workflow that Temporal still knows. */
async function collectHistories({ servers, recorder }: TortureSystem): Promise<void> {
  const connection = await Connection.connect({ address: servers.temporal.address });
  try {
    const client = new Client({ connection, namespace: servers.temporal.namespace });
    for await (const { workflowId, runId } of client.workflow.list()) {
      const history = await client.workflow.getHandle(workflowId, runId).fetchHistory();
      // The SDK's `historyToJSON` fails where npm has installed protobufjs more than once.
      const plain = History.toObject(History.fromObject(history), format) as object;
      recorder.history(workflowId, runId, plain);
    }
  } finally {
    await connection.close();
  }
}
