import type { Channel, ChannelModel } from 'amqplib';

/** The broker's answer to one step on a channel of its own, as a refusal closes the channel. */
export type StepAnswer<T> = { done: T } | { code: number; refusal: string };

export async function tryStep<T>(
  connection: ChannelModel,
  step: (channel: Channel) => Promise<T>,
): Promise<StepAnswer<T>> {
  const channel = await connection.createChannel();
  // The step's own promise rejects with the same error.
  channel.on('error', () => {});
  try {
    const done = await step(channel);
    await channel.close();
    return { done };
  } catch (error) {
    const { code, message } = error as Error & { code?: number };
    if (typeof code !== 'number') throw error;
    return { code, refusal: message.replace(/^.*?with message "(.*)"$/s, '$1') };
  }
}

const inequivalent =
  /inequivalent arg '([^']+)' for queue .* received (?:none|the value '.*' of type '\w+') but current is (?:none|the value '(.*)' of type '(\w+)')/s;
const numeric = /^(signed|unsigned|byte|short|long|int)/;
/** More than a queue has arguments. */
const maxSteps = 20;

/**
 * The arguments of an existing queue, learnt from the broker's refusals: it names the first one that differs, with its
 * value. Declaring a queue as it is changes nothing. For brokers without the management plugin.
 *
 * @returns `null` where the broker does not let us, and its words.
 */
export async function learnQueueArguments(
  connection: ChannelModel,
  queue: string,
  wanted: Record<string, unknown>,
): Promise<{ arguments: Record<string, unknown> } | { arguments: null; why: string }> {
  const known = { ...wanted };
  for (let step = 0; step < maxSteps; step += 1) {
    const answer = await tryStep(connection, (channel) =>
      channel.assertQueue(queue, { durable: true, arguments: known }),
    );
    if ('done' in answer) return { arguments: known };
    const differs = inequivalent.exec(answer.refusal);
    if (differs === null) return { arguments: null, why: answer.refusal };
    const [, name = '', value, type = ''] = differs;
    if (value === undefined) delete known[name];
    else known[name] = numeric.test(type) ? Number(value) : value;
  }
  return { arguments: null, why: 'its arguments could not be learnt' };
}
