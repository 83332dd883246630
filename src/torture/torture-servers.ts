import { mkdirSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type EtcdCluster, startEtcdCluster } from '../dev/etcd-server';
import { type PostgresServer, startPostgresServer } from '../dev/postgres-server';
import { type RabbitmqServer, startRabbitmqServer } from '../dev/rabbitmq-server';
import { Reaper } from '../dev/reaper';
import { startTemporalServer, type TemporalServer } from '../dev/temporal-server';
import { type Proxy, startToxiproxyServer, type ToxiproxyServer } from '../dev/toxiproxy-server';
import { type ServerName } from './fault-catalogue';

const etcdMembers = 3;

/** The way of one pod to the servers: a proxy for each address. */
export interface PodLinks {
  /** In the order of etcd's members. */
  etcd: Proxy[];
  rabbitmq: Proxy[];
  temporal: Proxy[];
  /** `host:port` of the handlers' store; no fault hits this way. */
  store: string;
}

/**
 * The servers of one run, all its own: three etcd members that reach each other through proxies, RabbitMQ, Temporal
 * with a database in a file; and PostgreSQL, the handlers' store.
 */
export class TortureServers {
  private constructor(
    readonly folder: string,
    readonly reaper: Reaper,
    readonly toxiproxy: ToxiproxyServer,
    readonly etcd: EtcdCluster,
    /** What the others reach each etcd member through, in the members' order. */
    readonly etcdPeers: readonly Proxy[],
    readonly rabbitmq: RabbitmqServer,
    readonly temporal: TemporalServer,
    readonly store: PostgresServer,
  ) {}

  /** @throws ServerStartError; everything is stopped then. */
  static async start(): Promise<TortureServers> {
    const reaper = new Reaper();
    const folder = mkdtempSync(join(tmpdir(), 'baton-torture-'));
    reaper.watchFolder(folder);
    const own = (name: string): { reaper: Reaper; folder: string } => {
      mkdirSync(join(folder, name));
      return { reaper, folder: join(folder, name) };
    };
    try {
      const toxiproxy = await startToxiproxyServer(own('toxiproxy'));
      const peers = new Map<string, Proxy>();
      const peerVia = async (name: string, address: string): Promise<string> => {
        const proxy = await toxiproxy.proxy(`peer-${address.replace(':', '-')}`, address);
        peers.set(name, proxy);
        return proxy.address;
      };
      const [etcd, rabbitmq, temporal, store] = await Promise.all([
        startEtcdCluster({ ...own('etcd'), members: etcdMembers, peerVia }),
        startRabbitmqServer(own('rabbitmq')),
        startTemporalServer({ ...own('temporal'), persistent: true }),
        startPostgresServer(own('postgres')),
      ]);
      const inOrder = etcd.members.map(({ serverName }) => peers.get(serverName)!);
      return new TortureServers(folder, reaper, toxiproxy, etcd, inOrder, rabbitmq, temporal, store);
    } catch (error) {
      await reaper.close();
      throw error;
    }
  }

  /** Where Temporal keeps everything; with it gone, the next start is one without a past. */
  get temporalDatabase(): string {
    return join(this.folder, 'temporal', 'temporal.db');
  }

  get rabbitmqLog(): string {
    return join(this.folder, 'rabbitmq', 'rabbitmq.log');
  }

  /** `host`: where the pod finds its proxies. Default: 127.0.0.1. */
  async linksOf(pod: string, host?: string): Promise<PodLinks> {
    const proxies = (name: string, addresses: string[]): Promise<Proxy[]> =>
      Promise.all(
        addresses.map((address, index) => this.toxiproxy.proxy(`${pod}-${name}-${index}`, address, host)),
      );
    const [etcd, rabbitmq, temporal, store] = await Promise.all([
      proxies('etcd', this.etcd.addresses),
      proxies('rabbitmq', [this.rabbitmq.address]),
      proxies('temporal', [this.temporal.address]),
      host === undefined ? this.store : this.toxiproxy.proxy(`${pod}-store`, this.store.address, host),
    ]);
    const faulty = { etcd, rabbitmq, temporal } satisfies Record<ServerName, Proxy[]>;
    return { ...faulty, store: store.address };
  }

  /** Ends everything and removes the folder. Idempotent. */
  async stop(): Promise<void> {
    const servers = [this.rabbitmq, this.temporal, this.store, ...this.etcd.members, this.toxiproxy];
    await Promise.allSettled(servers.map((server) => server.kill()));
    await this.reaper.close();
  }
}
