import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect, type ChannelModel } from 'amqplib';
import type { ConsumerSystem, LedgerEntry } from '../../src/bench/contender';
import { parseEntry } from '../../src/bench/ledger';
import { peers, type Peer } from '../../src/bench/peers/peers';
import { findProgram } from '../../src/dev/find-program';
import { DevStack } from '../../src/dev/dev-stack';
import { Reaper } from '../../src/dev/reaper';
import { eventually } from '../support/eventually';
import { sharedServers, uniqueName } from '../support/servers';

const limitMs = 15_000;
/** Until a contender has certainly read what it was told: it does not say so. */
const settledMs = 300;

// Compiling it takes a minute where that was not done before.
jest.setTimeout(300_000);

/** The run's shared servers, with a reaper for the contenders alone. */
let stack: DevStack;
let folder: string;
let broker: ChannelModel;
let running: ConsumerSystem | undefined;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'baton-peers-'));
  stack = new DevStack(folder, new Reaper(), false);
  broker = await connect(sharedServers().rabbitmq);
});

afterEach(() => running?.stop());

afterAll(async () => {
  await broker.close();
  await stack.stop();
  rmSync(folder, { recursive: true, force: true });
});

async function startSystem(name: string): Promise<ConsumerSystem> {
  const peer = peers.find((each) => each.name === name) as Peer;
  await peer.install(() => undefined);
  const { rabbitmq, etcd } = sharedServers();
  const id = uniqueName('peer');
  const place = { id, amqpUrl: rabbitmq, etcdAddresses: etcd, ttlMs: 2_000, prefetch: 5 };
  running = peer.system({ ...place, folder: join(folder, id) }, stack);
  await running.start();
  return running;
}

/** Publishes that many messages and waits until the last of them was handled. Its line in the ledger. */
async function passThrough(system: ConsumerSystem, first: number, count: number): Promise<LedgerEntry> {
  const channel = await broker.createConfirmChannel();
  for (let seq = first; seq < first + count; seq++)
    channel.sendToQueue(system.queue, Buffer.from(String(seq)), { persistent: true });
  await channel.waitForConfirms();
  await channel.close();
  return handled(system, first + count - 1);
}

function handled(system: ConsumerSystem, seq: number): Promise<LedgerEntry> {
  return eventually(() => {
    const entry = entries(system).find((each) => each.seq === seq);
    if (!entry) throw new Error(`message ${seq} was not handled`);
    return entry;
  }, limitMs);
}

function entries({ ledgerFile }: ConsumerSystem): LedgerEntry[] {
  if (!existsSync(ledgerFile)) return [];
  const lines = readFileSync(ledgerFile, 'utf8').split('\n');
  // The last one is empty, or just being written.
  return lines.slice(0, -1).map(parseEntry);
}

const hasGo = (() => {
  try {
    return findProgram('go') !== '';
  } catch {
    return false; // Not on this machine.
  }
})();
if (!hasGo) console.warn('there is no Go on this machine: the etcd election is not tested');

const names = ['single active consumer', ...(hasGo ? ['etcd election'] : [])];

describe.each(names)('%s, as a peer of the bench', (name) => {
  it('hands over when told to, and in a crash', async () => {
    const system = await startSystem(name);

    const first = await passThrough(system, 1, 20);
    expect(first.contender).toBe(system.active()?.name);

    await system.giveWay();
    await eventually(() => expect(system.active()?.name).not.toBe(first.contender), limitMs);
    const second = await passThrough(system, 21, 20);
    expect(second.contender).not.toBe(first.contender);

    await system.heal();
    const victim = system.active();
    await victim?.kill();
    const third = await passThrough(system, 41, 20);
    expect(third.contender).not.toBe(victim?.name);

    await system.heal();
    expect(system.active()?.name).toBe(third.contender);
    const all = entries(system);
    expect(new Set(all.map(({ seq }) => seq)).size).toBe(60);
    for (const { startNs, endNs } of all) expect(startNs).toBeLessThanOrEqual(endNs);
  });

  it('replaces a contender whose handler never returns', async () => {
    const system = await startSystem(name);
    await passThrough(system, 1, 5);
    const stuck = system.active();
    await system.block();
    await sleep(settledMs);
    const channel = await broker.createChannel();
    channel.sendToQueue(system.queue, Buffer.from('6'), { persistent: true });
    await channel.close();

    await system.heal();
    const entry = await handled(system, 6);

    expect(entry.contender).not.toBe(stuck?.name);
  });
});
