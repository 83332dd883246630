import { setTimeout as sleep } from 'node:timers/promises';
import { connect, type Channel, type ChannelModel } from 'amqplib';
import { Load } from '../../src/bench/load';
import { isRunning } from '../../src/dev/process-state';
import { sharedServers, uniqueName } from '../support/servers';

const queue = uniqueName('load');
let model: ChannelModel;
let channel: Channel;

beforeAll(async () => {
  model = await connect(sharedServers().rabbitmq);
  channel = await model.createChannel();
  await channel.assertQueue(queue);
});
afterAll(async () => {
  await channel.deleteQueue(queue);
  await model.close();
});

const publisherOf = (load: Load): number => (load as unknown as { publisher: { pid: number } }).publisher.pid;

test('publishes at its rate, numbered, until paused, and knows what the broker has confirmed', async () => {
  const load = await Load.connect(sharedServers().rabbitmq, queue);
  try {
    load.start(200);
    await sleep(500);
    load.pause();
    await load.settle();
    const { messageCount } = await channel.checkQueue(queue);
    expect(messageCount).toBeGreaterThan(10);
    expect([...load.published]).toEqual(Array.from({ length: messageCount }, (_, index) => index + 1));
    load.publish();
    await load.settle();
    expect(load.published.size).toBe(messageCount + 1);
  } finally {
    await load.close();
  }
  expect(isRunning(publisherOf(load))).toBe(false);
});

test('says so when its process has ended', async () => {
  const load = await Load.connect(sharedServers().rabbitmq, queue);
  process.kill(publisherOf(load), 'SIGKILL');
  await expect(load.settle()).rejects.toThrow('the publisher has ended');
  await load.close();
  expect(() => load.publish()).toThrow('the publisher has ended');
});
