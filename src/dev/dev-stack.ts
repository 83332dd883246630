import { mkdirSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { EtcdCluster, type ServerCertificate, startEtcdCluster } from './etcd-server';
import { checkPrograms } from './find-program';
import { givable, neededPrograms } from './given-servers';
import { lowerPriority } from './lower-priority';
import { startPostgresServer, type PostgresServer } from './postgres-server';
import { startRabbitmqServer, type RabbitmqServer } from './rabbitmq-server';
import { Reaper } from './reaper';
import { startTemporalServer, type TemporalServer } from './temporal-server';
import { startToxiproxyServer, type ToxiproxyServer } from './toxiproxy-server';

export type ServerKind = 'etcd' | 'rabbitmq' | 'temporal' | 'toxiproxy' | 'postgres';

export interface DevStackOptions {
  /** Which servers. Default: etcd, RabbitMQ and Temporal. */
  servers?: ServerKind[];
  /** Members of the etcd cluster. Default: 1. */
  etcdMembers?: number;
  /** Data folders of single etcd members, by index. Default: below the stack's folder. */
  etcdDataDirs?: Record<number, string>;
  /** Of etcd, for its clients, and its further flags. */
  etcdTls?: ServerCertificate;
  etcdFlags?: Record<string, string>;
  /** RabbitMQ's, on a port beside the plain one. */
  rabbitmqTls?: ServerCertificate;
  /** Whether RabbitMQ runs its management page. Default: false. */
  rabbitmqManagement?: boolean;
  /** Default: `default`. */
  temporalNamespace?: string;
  /** Whether workflows survive a restart of Temporal. Default: only with `dataDir`. */
  temporalPersistent?: boolean;
  /**
   * Where the data are kept, for a later stack to continue with (one etcd member only, since members remember each
   * other's ports). Default: a temporary folder, removed at the end.
   */
  dataDir?: string;
  /** Gets one line when a server is ready. Default: nothing is said. */
  onProgress?: (line: string) => void;
}

/** Real servers for the demo and the tests; see {@link startDevStack}. */
export class DevStack {
  private stopping: Promise<void> | undefined;
  private readonly running = new Map<ServerKind, { stop(): Promise<void>; kill(): Promise<void> }>();

  /** `host:port` of each etcd member. */
  etcdAddresses: string[] = [];
  /** `amqp://…`. */
  rabbitmqUrl = '';
  /** `host:port`. */
  temporalAddress = '';
  /** The page of Temporal's UI; undefined when the server was given by its address. */
  temporalUiUrl: string | undefined;

  constructor(
    /** Holds all data and logs; a place for the files of whoever uses the stack, too. */
    readonly folder: string,
    private readonly reaper: Reaper,
    private readonly keepsData: boolean,
  ) {}

  /** @throws Error when this stack did not start its own etcd. */
  get etcd(): EtcdCluster {
    return this.server('etcd');
  }

  /** @throws Error when this stack did not start its own RabbitMQ. */
  get rabbitmq(): RabbitmqServer {
    return this.server('rabbitmq');
  }

  /** @throws Error when this stack did not start its own Temporal. */
  get temporal(): TemporalServer {
    return this.server('temporal');
  }

  /** Runs it behind everything else, as it would be elsewhere; one given by its address is left alone. */
  lowerTemporalPriority(): void {
    const pid = this.running.has('temporal') ? this.temporal.pid : undefined;
    if (pid !== undefined) lowerPriority(pid);
  }

  /** @throws Error when this stack was started without Toxiproxy. */
  get toxiproxy(): ToxiproxyServer {
    return this.server('toxiproxy');
  }

  /** @throws Error when this stack was started without PostgreSQL. */
  get postgres(): PostgresServer {
    return this.server('postgres');
  }

  /**
   * To be merged into the environment of processes that are to end with this stack: also what *they* start is
   * found and ended then, even if this process is killed.
   */
  get environment(): Readonly<Record<string, string>> {
    return this.reaper.environment;
  }

  /** The process that cleans up when this one is gone. */
  get reaperPid(): number | undefined {
    return this.reaper.pid;
  }

  /** Ends a process with the stack, or when this process dies; with `group` its whole group, which it must lead. */
  adopt(pid: number, options: { group?: boolean } = {}): void {
    this.reaper.watch(pid, options);
  }

  /** Undoes {@link adopt}. */
  forget(pid: number): void {
    this.reaper.forget(pid);
  }

  /** Removes a folder with the stack, or when this process dies. */
  adoptFolder(path: string): void {
    this.reaper.watchFolder(path);
  }

  /**
   * Ends all servers and adopted processes and removes the folder. Idempotent; takes at most about 25 s, usually
   * well under one. Servers whose data are kept get the time to end by themselves, others are killed.
   */
  stop(): Promise<void> {
    this.stopping ??= this.stopAll();
    return this.stopping;
  }

  /** @internal */
  add(kind: ServerKind, server: { stop(): Promise<void>; kill(): Promise<void> }): void {
    this.running.set(kind, server);
  }

  private async stopAll(): Promise<void> {
    const servers = [...this.running.values()];
    const results = await Promise.allSettled(
      servers.map((each) => (this.keepsData ? each.stop() : each.kill())),
    );
    await this.reaper.close();
    const failure = results.find((result) => result.status === 'rejected');
    if (failure !== undefined) throw failure.reason;
  }

  private server<T>(kind: ServerKind): T {
    const server = this.running.get(kind);
    if (server === undefined)
      throw new Error(`this stack did not start ${kind} itself; it has ${this.kinds()}`);
    return server as T;
  }

  private kinds(): string {
    return [...this.running.keys()].join(', ') || 'no server of its own';
  }
}

/**
 * Starts real servers, in parallel, on free ports of 127.0.0.1 and below one folder, and waits until all answer.
 * Nothing of it outlives this process, however that ends.
 *
 * A server whose address is in the environment is used instead of starting one: BATON_DEV_ETCD (`host:port`, several
 * separated by commas), BATON_DEV_RABBITMQ (`amqp://…`), BATON_DEV_TEMPORAL (`host:port`).
 *
 * @throws Error naming each program that is missing, before anything is started; ServerStartError with the server's command and the end of its log; everything is stopped then.
 */
export async function startDevStack(options: DevStackOptions = {}): Promise<DevStack> {
  const { servers = ['etcd', 'rabbitmq', 'temporal'], dataDir, onProgress = () => {} } = options;
  checkPrograms(neededPrograms(servers));
  const reaper = new Reaper();
  const folder = dataDir ?? mkdtempSync(join(tmpdir(), 'baton-'));
  if (dataDir === undefined) reaper.watchFolder(folder);
  else mkdirSync(dataDir, { recursive: true });

  const stack = new DevStack(folder, reaper, dataDir !== undefined);
  const results = await Promise.allSettled(
    servers.map(async (kind) => {
      const began = Date.now();
      const where = await startServer(kind, stack, reaper, options);
      onProgress(`${kind}: ${where} (${((Date.now() - began) / 1000).toFixed(1)} s)`);
    }),
  );
  const failure = results.find((result) => result.status === 'rejected');
  if (failure === undefined) return stack;
  await stack.stop();
  throw failure.reason;
}

/** @returns where the server is, for the progress line. */
async function startServer(
  kind: ServerKind,
  stack: DevStack,
  reaper: Reaper,
  options: DevStackOptions,
): Promise<string> {
  const own = { reaper, folder: join(stack.folder, kind) };
  mkdirSync(own.folder, { recursive: true });
  switch (kind) {
    case 'etcd': {
      const given = process.env[givable.etcd.variable];
      if (given) {
        stack.etcdAddresses = given.split(',').map((address) => address.trim());
        return given;
      }
      const {
        etcdMembers: members = 1,
        etcdDataDirs: dataDirs = {},
        etcdTls: tls,
        etcdFlags: flags,
      } = options;
      const secure = { ...(tls && { tls }), ...(flags && { flags }) };
      const cluster = await startEtcdCluster({ ...own, members, dataDirs, ...secure });
      stack.add(kind, cluster);
      stack.etcdAddresses = cluster.addresses;
      return cluster.addresses.join(', ');
    }
    case 'rabbitmq': {
      const given = process.env[givable.rabbitmq.variable];
      if (given) {
        stack.rabbitmqUrl = given;
        return given;
      }
      const { rabbitmqManagement: management = false, rabbitmqTls: tls } = options;
      const server = await startRabbitmqServer({ ...own, management, ...(tls && { tls }) });
      stack.add(kind, server);
      stack.rabbitmqUrl = server.url;
      return server.url;
    }
    case 'temporal': {
      const given = process.env[givable.temporal.variable];
      if (given) {
        stack.temporalAddress = given;
        return given;
      }
      const server = await startTemporalServer({
        ...own,
        namespace: options.temporalNamespace ?? 'default',
        persistent: options.temporalPersistent ?? options.dataDir !== undefined,
      });
      stack.add(kind, server);
      stack.temporalAddress = server.address;
      stack.temporalUiUrl = server.uiUrl;
      return `${server.address}, UI ${server.uiUrl}`;
    }
    case 'toxiproxy': {
      const server = await startToxiproxyServer(own);
      stack.add(kind, server);
      return 'ready';
    }
    case 'postgres': {
      const server = await startPostgresServer(own);
      stack.add(kind, server);
      return server.url;
    }
  }
}
