import type { Channel, ChannelModel } from 'amqplib';
import type { QueueSettings } from '../config/config';

/** Declares the queue with its dead-letter exchange and queue, or checks that they are there. */
export async function prepareTopology(connection: ChannelModel, queue: QueueSettings): Promise<void> {
  const { name, deadLetterExchange: exchange } = queue;
  if (!queue.declare) {
    await attempt(connection, `queue "${name}" does not exist and queue.declare is false`, (channel) =>
      channel.checkQueue(name),
    );
    await attempt(connection, `dead-letter exchange "${exchange}" does not exist`, (channel) =>
      channel.checkExchange(exchange),
    );
    return;
  }
  const other = 'exists with other arguments than configured; delete it, or set queue.declare to false';
  await attempt(connection, `exchange "${exchange}" ${other}`, (channel) =>
    channel.assertExchange(exchange, 'fanout', { durable: true }),
  );
  // A dead-letter queue of another type, with a TTL or a limit is the operator's choice: it only has to exist.
  await attempt(connection, `dead-letter queue "${exchange}" cannot be declared`, (channel) =>
    channel.checkQueue(exchange),
  ).catch(() =>
    attempt(connection, `dead-letter queue "${exchange}" cannot be declared`, (channel) =>
      channel.assertQueue(exchange, { durable: true, arguments: { 'x-queue-type': 'quorum' } }),
    ),
  );
  await attempt(connection, `dead-letter queue "${exchange}" cannot be bound`, (channel) =>
    channel.bindQueue(exchange, exchange, ''),
  );
  await attempt(connection, `queue "${name}" ${other}`, (channel) =>
    channel.assertQueue(name, {
      durable: true,
      arguments: {
        'x-queue-type': 'quorum',
        'x-dead-letter-exchange': exchange,
        'x-delivery-limit': queue.deliveryLimit,
      },
    }),
  );
}

/**
 * Each step on a channel of its own, because a refusal closes the channel.
 * @throws Error with `sentence` and the broker's words.
 */
async function attempt(
  connection: ChannelModel,
  sentence: string,
  step: (channel: Channel) => Promise<unknown>,
): Promise<void> {
  const channel = await connection.createChannel();
  // The step's own promise rejects with the same error.
  channel.on('error', () => {});
  try {
    await step(channel);
  } catch (error) {
    const words = (error as Error).message.replace(/^.*?with message "(.*)"$/s, '$1');
    // About the user, whatever is the matter with the queue.
    const message = words.startsWith('ACCESS_REFUSED')
      ? `the broker does not permit it: ${words}`
      : `${sentence} (${words})`;
    throw new Error(message, { cause: error });
  }
  await channel.close();
}
