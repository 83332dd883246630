import { connect } from 'amqplib';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startDevStack, type DevStack } from '../../src/dev/dev-stack';
import { isFree } from '../../src/dev/free-port';
import { isRunning, isStopped, pidsWithEnvironment } from '../../src/dev/process-state';
import { eventually } from '../support/eventually';

const stacks: DevStack[] = [];

async function started(options: Parameters<typeof startDevStack>[0]): Promise<DevStack> {
  const stack = await startDevStack(options);
  stacks.push(stack);
  return stack;
}

afterEach(async () => {
  for (const stack of stacks.splice(0)) {
    await stack.stop();
    expectNothingLeft(stack);
  }
});

function expectNothingLeft(stack: DevStack): void {
  const mark = Object.entries(stack.environment)[0]!.join('=');
  expect(pidsWithEnvironment(mark).filter(isRunning)).toEqual([]);
  expect(existsSync(stack.folder)).toBe(false);
}

/** etcd's own HTTP gateway, so that this needs no client. */
async function etcdCall(
  address: string,
  path: string,
  body: object,
  limitMs = 20_000,
): Promise<{ kvs?: { value: string }[] }> {
  const signal = AbortSignal.timeout(limitMs);
  const response = await fetch(`http://${address}/v3/kv/${path}`, {
    method: 'POST',
    body: JSON.stringify(body),
    signal,
  });
  return (await response.json()) as { kvs?: { value: string }[] };
}

const base64 = (text: string) => Buffer.from(text).toString('base64');

test('etcd can be frozen, thawed, killed and restarted with its port and data', async () => {
  const stack = await started({ servers: ['etcd'] });
  const member = stack.etcd.member(0);
  await etcdCall(member.address, 'put', { key: base64('k'), value: base64('v') });

  await member.pause();
  expect(isStopped(member.pid)).toBe(true);
  await expect(etcdCall(member.address, 'range', { key: base64('k') }, 500)).rejects.toThrow(
    /timeout|aborted/,
  );
  member.resume();
  expect((await etcdCall(member.address, 'range', { key: base64('k') })).kvs?.[0]?.value).toBe(base64('v'));

  const { pid, clientPort } = member;
  await member.kill();
  expect(isRunning(pid)).toBe(false);
  expect(member.isRunning).toBe(false);
  expect(await isFree(clientPort)).toBe(true);

  await member.restart();
  expect(member.clientPort).toBe(clientPort);
  expect((await etcdCall(member.address, 'range', { key: base64('k') })).kvs?.[0]?.value).toBe(base64('v'));
});

test('a frozen server can be stopped', async () => {
  const stack = await started({ servers: ['etcd'] });
  const member = stack.etcd.member(0);
  const { pid } = member;
  await member.pause();
  await member.stop();
  expect(isRunning(pid)).toBe(false);
});

test('a cluster of three keeps its data when one member dies, also with a data folder given by the test', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'member-'));
  try {
    const stack = await started({ servers: ['etcd'], etcdMembers: 3, etcdDataDirs: { 1: folder } });
    expect(stack.etcdAddresses).toHaveLength(3);
    expect(existsSync(join(folder, 'member'))).toBe(true);
    await etcdCall(stack.etcd.member(0).address, 'put', { key: base64('k'), value: base64('v') });

    await stack.etcd.member(0).kill();

    // Until the others have elected a leader they answer with errors.
    await eventually(async () => {
      const { kvs } = await etcdCall(stack.etcd.member(1).address, 'range', { key: base64('k') });
      expect(kvs?.[0]?.value).toBe(base64('v'));
    });
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('RabbitMQ restarts with its port and data, and its helper processes end with it', async () => {
  const stack = await started({ servers: ['rabbitmq'] });
  const mark = Object.entries(stack.environment)[0]!.join('=');
  const connection = await connect(stack.rabbitmqUrl);
  const channel = await connection.createConfirmChannel();
  await channel.assertQueue('kept', { durable: true, arguments: { 'x-queue-type': 'quorum' } });
  channel.sendToQueue('kept', Buffer.from('x'), { persistent: true });
  await channel.waitForConfirms();
  await connection.close();

  await stack.rabbitmq.restart();

  const again = await connect(stack.rabbitmqUrl);
  const channelAgain = await again.createChannel();
  // A quorum queue has nothing to give until it has a leader again.
  await eventually(async () => expect(await channelAgain.get('kept', { noAck: true })).not.toBe(false));
  await again.close();

  await stack.rabbitmq.kill();
  // The Erlang machine's helpers notice by themselves that it is gone.
  await eventually(() => expect(pidsWithEnvironment(mark).filter(isRunning)).toEqual([]));
}, 120_000);

test('Temporal restarts with its port, and serves its UI', async () => {
  const stack = await started({ servers: ['temporal'], temporalPersistent: true });
  const { address } = stack.temporal;
  expect((await fetch(stack.temporalUiUrl!)).status).toBe(200);

  await stack.temporal.restart();

  expect(stack.temporal.address).toBe(address);
  expect((await fetch(stack.temporalUiUrl!)).status).toBe(200);
});

test('Toxiproxy delays and cuts a connection', async () => {
  const stack = await started({ servers: ['etcd', 'toxiproxy'] });
  const proxy = await stack.toxiproxy.proxy('etcd', stack.etcdAddresses[0]!);
  const put = () => etcdCall(proxy.address, 'put', { key: base64('k'), value: base64('v') });
  await put();

  await proxy.addToxic('slow', 'downstream', { type: 'latency', attributes: { latency: 300 } });
  const began = performance.now();
  await put();
  expect(performance.now() - began).toBeGreaterThan(290);
  await proxy.removeToxic('slow');

  await proxy.disable();
  await expect(put()).rejects.toThrow('fetch failed');
  await proxy.enable();
  await put();
});

test('a server that does not start is named in the error, with its command and the end of its log', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'broken-'));
  const notAFolder = join(folder, 'file');
  writeFileSync(notAFolder, '');
  const failed = startDevStack({ servers: ['etcd'], etcdDataDirs: { 0: notAFolder } });
  await expect(failed).rejects.toThrow(
    new RegExp(
      `^etcd exited before it was ready: .*etcd .*--data-dir=${notAFolder}.*\\n.*not a directory`,
      's',
    ),
  );
  rmSync(folder, { recursive: true });
});
