import { rmSync } from 'node:fs';
import { Etcd3 } from 'etcd3';
import { askForEtcdLeader } from '../../dev/etcd-leader';
import type { Server } from '../../dev/server';
import type { BegunFault, FaultContext, FaultMaker } from './fault';
import { pastRetention } from './retention-fault';

async function killServers(servers: readonly Server[]): Promise<BegunFault> {
  const pids = servers.map(({ pid }) => pid);
  await Promise.all(servers.map((server) => server.kill()));
  const end = async (): Promise<void> => {
    await Promise.all(servers.map((server) => server.start()));
  };
  return { target: servers.map(({ serverName }) => serverName).join(' and '), pids, end };
}

async function freezeServer(server: Server): Promise<BegunFault> {
  await server.pause();
  return { target: server.serverName, pids: [server.pid], end: async () => server.resume() };
}

const leaderOf = ({ system }: FaultContext): Promise<number> =>
  askForEtcdLeader(system.servers.etcd.addresses);

/** One that does not lead, drawn by the strength. */
async function followerOf(strength: number, context: FaultContext): Promise<number> {
  const leader = await leaderOf(context);
  const followers = context.system.servers.etcd.members.map((_, index) => index).filter((i) => i !== leader);
  return followers[Math.floor(strength * followers.length)] ?? followers[0]!;
}

const memberKill: FaultMaker = async ({ strength }, context) =>
  killServers([context.system.servers.etcd.member(await followerOf(strength, context))]);

const memberFreeze: FaultMaker = async ({ strength }, context) =>
  freezeServer(context.system.servers.etcd.member(await followerOf(strength, context)));

const leaderKill: FaultMaker = async (_plan, context) =>
  killServers([context.system.servers.etcd.member(await leaderOf(context))]);

const leaderFreeze: FaultMaker = async (_plan, context) =>
  freezeServer(context.system.servers.etcd.member(await leaderOf(context)));

/** The leader and one more. */
const quorumLoss: FaultMaker = async ({ strength }, context) => {
  const { etcd } = context.system.servers;
  const indexes = [await leaderOf(context), await followerOf(strength, context)];
  return killServers([...new Set(indexes)].map((index) => etcd.member(index)));
};

/**
 * Nobody gets through to a member, which itself can still open connections: what it says to others over theirs is
 * lost, too. With the leader hit it is the harder case, so that is drawn half of the time.
 */
const peerCut: FaultMaker = async ({ id, strength }, context) => {
  const { etcd, etcdPeers } = context.system.servers;
  const index = strength < 0.5 ? await leaderOf(context) : await followerOf(2 * strength - 1, context);
  const proxy = etcdPeers[index]!;
  const names = [`cut-${id}-up`, `cut-${id}-down`] as const;
  await proxy.addToxic(names[0], 'upstream', { type: 'timeout', attributes: { timeout: 0 } });
  await proxy.addToxic(names[1], 'downstream', { type: 'timeout', attributes: { timeout: 0 } });
  const end = async (): Promise<void> => {
    for (const name of names) await proxy.removeToxic(name);
  };
  return { target: `peers to ${etcd.member(index).serverName}`, end };
};

const peerDelay: FaultMaker = async ({ id, strength }, context) => {
  const { etcd, etcdPeers } = context.system.servers;
  const index = await followerOf(strength, context);
  const proxy = etcdPeers[index]!;
  const latency = Math.round(20 + strength * 300);
  await proxy.addToxic(`delay-${id}`, 'downstream', { type: 'latency', attributes: { latency } });
  const end = (): Promise<void> => proxy.removeToxic(`delay-${id}`);
  return { target: `peers to ${etcd.member(index).serverName} by ${latency} ms`, end };
};

/** The alarm that etcd raises by itself when a member's disk quota is used up; it is one, and not a likeness. */
const noSpace: FaultMaker = async (_plan, { system }) => {
  const alarm = async (action: 'Activate' | 'Deactivate'): Promise<void> => {
    const client = new Etcd3({
      hosts: system.servers.etcd.addresses.map((address) => `http://${address}`),
      defaultCallOptions: () => ({ deadline: Date.now() + 5_000 }),
    });
    try {
      const { header } = await client.maintenance.status();
      await client.maintenance.alarm({ action, memberID: header.member_id, alarm: 'Nospace' });
      if (action === 'Activate') return;
      // The status may have come from another member this time.
      const { alarms } = await client.maintenance.alarm({ action: 'Get', alarm: 'Nospace' });
      for (const { memberID } of alarms)
        await client.maintenance.alarm({ action, memberID, alarm: 'Nospace' });
    } finally {
      client.close();
    }
  };
  await alarm('Activate');
  return { target: 'etcd', end: () => alarm('Deactivate') };
};

const diskAlarm: FaultMaker = async (_plan, { system }) => {
  const { rabbitmq } = system.servers;
  await rabbitmq.ctl('set_disk_free_limit', '1000000GB');
  const end = async (): Promise<void> => {
    await rabbitmq.ctl('set_disk_free_limit', '50MB');
  };
  return { target: 'rabbitmq', end };
};

/** The workflows are gone with the database: an operator starts them again. */
const temporalWipe: FaultMaker = async (_plan, { system }) => {
  const { temporal, temporalDatabase } = system.servers;
  const pids = [temporal.pid];
  await temporal.kill();
  for (const suffix of ['', '-wal', '-shm', '-journal']) rmSync(temporalDatabase + suffix, { force: true });
  const end = async (): Promise<void> => {
    await temporal.start();
    await system.startRegions();
  };
  return { target: 'temporal', pids, end };
};

export const serverFaults = {
  'etcd-member-kill': memberKill,
  'etcd-member-freeze': memberFreeze,
  'etcd-leader-kill': leaderKill,
  'etcd-leader-freeze': leaderFreeze,
  'etcd-quorum-loss': quorumLoss,
  'etcd-peer-cut': peerCut,
  'etcd-peer-delay': peerDelay,
  'etcd-no-space': noSpace,
  'temporal-kill': (_plan, { system }) => killServers([system.servers.temporal]),
  'temporal-freeze': (_plan, { system }) => freezeServer(system.servers.temporal),
  'temporal-wipe': temporalWipe,
  'temporal-retention': pastRetention,
  'rabbitmq-kill': (_plan, { system }) => killServers([system.servers.rabbitmq]),
  'rabbitmq-freeze': (_plan, { system }) => freezeServer(system.servers.rabbitmq),
  'rabbitmq-disk-alarm': diskAlarm,
} as const satisfies Record<string, FaultMaker>;
