import { existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { findProgram } from './find-program';
import { freePorts } from './free-port';
import { Server, startOnFreePorts, type Command, type ServerOptions } from './server';

export interface EtcdClusterOptions {
  reaper: ServerOptions['reaper'];
  /** Logs go here, and the data of members without a folder of their own. */
  folder: string;
  /** How many members. Default: 1. */
  members?: number;
  /** Data folders that differ from the default, by member index: for instance on a device that a test can freeze. */
  dataDirs?: Record<number, string>;
  /** What the other members are told instead of a member's peer address: a proxy in front of it. */
  peerVia?: (name: string, address: string) => Promise<string>;
  /** For clients; members talk to each other in the clear. With an authority, clients need a certificate of it. */
  tls?: ServerCertificate;
  /** More flags, without dashes: `{ 'auth-token-ttl': '2' }`. */
  flags?: Record<string, string>;
}

/** PEM files of a server. */
export interface ServerCertificate {
  certFile: string;
  keyFile: string;
  clientCaFile?: string;
}

interface MemberPlan {
  name: string;
  clientPort: number;
  peerPort: number;
  /** Where the other members reach it. Default: its own peer port. */
  peerAddress?: string;
  /** Health without credentials, where clients need some. */
  healthPort?: number;
  dataDir: string;
}

/** One etcd process. Heartbeat and election timeouts are etcd's defaults (100 ms and 1 s). */
export class EtcdMember extends Server {
  constructor(
    private readonly plan: MemberPlan,
    /** `--initial-cluster`: all members' names and peer URLs. */
    private readonly cluster: string,
    options: ServerOptions,
    private readonly more: Pick<EtcdClusterOptions, 'tls' | 'flags'> = {},
  ) {
    super(plan.name, options);
  }

  /** For clients: `127.0.0.1:port`. */
  get address(): string {
    return `127.0.0.1:${this.plan.clientPort}`;
  }

  get clientPort(): number {
    return this.plan.clientPort;
  }

  get peerPort(): number {
    return this.plan.peerPort;
  }

  get dataDir(): string {
    return this.plan.dataDir;
  }

  protected command(): Command {
    const { tls, flags: given = {} } = this.more;
    const clientUrl = `${tls ? 'https' : 'http'}://127.0.0.1:${this.plan.clientPort}`;
    const peerUrl = `http://127.0.0.1:${this.plan.peerPort}`;
    const flags = {
      name: this.plan.name,
      'data-dir': this.plan.dataDir,
      'listen-client-urls': clientUrl,
      'advertise-client-urls': clientUrl,
      'listen-peer-urls': peerUrl,
      'initial-advertise-peer-urls': this.plan.peerAddress ? `http://${this.plan.peerAddress}` : peerUrl,
      'initial-cluster': this.cluster,
      'initial-cluster-token': 'baton',
      'initial-cluster-state': 'new',
      logger: 'zap',
      'log-outputs': 'stderr',
      'log-level': 'warn',
      ...(tls && {
        'cert-file': tls.certFile,
        'key-file': tls.keyFile,
        'listen-metrics-urls': `http://127.0.0.1:${this.plan.healthPort}`,
        ...(tls.clientCaFile !== undefined && {
          'client-cert-auth': 'true',
          'trusted-ca-file': tls.clientCaFile,
        }),
      }),
      ...given,
    };
    const args = Object.entries(flags).map(([name, value]) => `--${name}=${value}`);
    return { program: findProgram('etcd'), args, environment: environmentWithout('ETCD') };
  }

  /** Healthy means: it has just read through the cluster's leader. */
  protected async probe(): Promise<void> {
    const address = this.more.tls ? `127.0.0.1:${this.plan.healthPort}` : this.address;
    const response = await fetch(`http://${address}/health`, { signal: AbortSignal.timeout(2_000) });
    const { health } = (await response.json()) as { health?: string | boolean };
    if (String(health) !== 'true')
      throw new Error(`${this.address} answered that its health is ${String(health)}`);
  }
}

/** The members of one etcd cluster. */
export class EtcdCluster {
  constructor(readonly members: readonly EtcdMember[]) {}

  /** Every member's `127.0.0.1:port`. */
  get addresses(): string[] {
    return this.members.map((member) => member.address);
  }

  /** All members at once: one alone is not healthy before a majority runs. */
  async start(): Promise<void> {
    const results = await Promise.allSettled(this.members.map((member) => member.start()));
    const failures = results
      .filter((result) => result.status === 'rejected')
      .map((result) => result.reason as unknown);
    if (failures.length === 0) return;
    await this.kill();
    throw failures.find((error) => (error as { portTaken?: boolean }).portTaken) ?? failures[0];
  }

  async stop(): Promise<void> {
    await Promise.all(this.members.map((member) => member.stop()));
  }

  async kill(): Promise<void> {
    await Promise.all(this.members.map((member) => member.kill()));
  }

  /** @throws Error when there is no such member. Members count from 0. */
  member(index: number): EtcdMember {
    const member = this.members[index];
    if (member === undefined)
      throw new Error(`etcd member ${index} does not exist: there are ${this.members.length}`);
    return member;
  }
}

/** Starts an etcd cluster on free ports of 127.0.0.1 and waits until every member is healthy. */
export async function startEtcdCluster(options: EtcdClusterOptions): Promise<EtcdCluster> {
  const { folder, reaper, members = 1, dataDirs = {} } = options;
  const peerVia = options.peerVia ?? ((_name: string, address: string) => Promise.resolve(address));
  const more = { ...(options.tls && { tls: options.tls }), ...(options.flags && { flags: options.flags }) };
  const names = Array.from({ length: members }, (_, index) => (members === 1 ? 'etcd' : `etcd-${index}`));
  const folders = names.map((name, index) => dataDirs[index] ?? join(folder, name));
  const memberFolders = folders.map((each) => join(each, 'member'));
  const fresh = memberFolders.filter((each) => !existsSync(each));
  return startOnFreePorts(async () => {
    // What an attempt on other ports has left behind names those ports.
    for (const each of fresh.filter(existsSync)) rmSync(each, { recursive: true });
    const ports = await freePorts(3 * members);
    const plans = await Promise.all(
      names.map(async (name, index) => {
        const [clientPort, peerPort, healthPort] = ports.slice(3 * index) as [number, number, number];
        const peerAddress = await peerVia(name, `127.0.0.1:${peerPort}`);
        return { name, clientPort, peerPort, healthPort, peerAddress, dataDir: folders[index]! };
      }),
    );
    const cluster = plans.map(({ name, peerAddress }) => `${name}=http://${peerAddress}`).join(',');
    return new EtcdCluster(
      plans.map(
        (plan) => new EtcdMember(plan, cluster, { reaper, logFile: join(folder, `${plan.name}.log`) }, more),
      ),
    );
  });
}

/** This process's environment without a program's own variables, which would change its settings. */
export function environmentWithout(prefix: string): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith(`${prefix}_`)));
}
