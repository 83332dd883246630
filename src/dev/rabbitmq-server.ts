import { connect } from 'amqplib';
import { execFile } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { environmentWithout, type ServerCertificate } from './etcd-server';
import { findProgram, rabbitmqFolders } from './find-program';
import { freePorts } from './free-port';
import { acceptsConnections, Server, startOnFreePorts, type Command, type ServerOptions } from './server';

export interface RabbitmqOptions {
  reaper: ServerOptions['reaper'];
  /** Data, logs and settings go here. */
  folder: string;
  /** Whether to run the management plugin. Default: false. */
  management?: boolean;
  /** Further plugins that RabbitMQ ships. Default: none. */
  plugins?: readonly string[];
  /** By which other brokers know this one, as federation does. Default: RabbitMQ's, from the host's name. */
  clusterName?: string;
  /** Also takes connections with TLS. With an authority, clients need a certificate of it. */
  tls?: ServerCertificate;
}

interface Ports {
  amqp: number;
  distribution: number;
  epmd: number;
  management: number;
  amqps?: number;
}

/** Data belong to the node's name, which must not change. It is unique because the port mapper is our own. */
const nodeName = 'baton@localhost';
const ctlLimitMs = 30_000;

/**
 * Erlang's port mapper, without which RabbitMQ does not start. Left to itself, Erlang starts one that listens on all
 * addresses and stays for ever.
 */
class Epmd extends Server {
  constructor(
    private readonly port: number,
    options: ServerOptions,
  ) {
    super('epmd', options);
  }

  protected command(): Command {
    return { program: findProgram('epmd'), args: ['-address', '127.0.0.1', '-port', String(this.port)] };
  }

  protected probe(): Promise<void> {
    return acceptsConnections(this.port);
  }
}

/** One RabbitMQ node with its own port mapper. */
export class RabbitmqServer extends Server {
  private readonly epmd: Epmd;

  constructor(
    private readonly folder: string,
    private readonly ports: Ports,
    private readonly management: boolean,
    options: ServerOptions,
    private readonly tls?: ServerCertificate,
    private readonly own: Pick<RabbitmqOptions, 'plugins' | 'clusterName'> = {},
  ) {
    super('rabbitmq', options);
    this.epmd = new Epmd(ports.epmd, { ...options, logFile: join(folder, 'epmd.log') });
  }

  /** For AMQP clients, with the default user and virtual host. */
  get url(): string {
    return `amqp://guest:guest@${this.address}`;
  }

  /** `127.0.0.1:port` for AMQP. */
  get address(): string {
    return `127.0.0.1:${this.ports.amqp}`;
  }

  get amqpPort(): number {
    return this.ports.amqp;
  }

  /** `127.0.0.1:port` for AMQP over TLS, if it takes that. */
  get secureAddress(): string {
    return `127.0.0.1:${this.ports.amqps}`;
  }

  /** The management page, if its plugin runs. */
  get managementUrl(): string | undefined {
    return this.management ? `http://127.0.0.1:${this.ports.management}` : undefined;
  }

  override async start(): Promise<void> {
    if (!this.epmd.isRunning) await this.epmd.start();
    try {
      await super.start();
    } catch (error) {
      await this.epmd.kill();
      throw error;
    }
  }

  override async stop(): Promise<void> {
    await super.stop();
    await this.epmd.kill(); // It ignores nothing and keeps nothing.
  }

  /**
   * Kills the node. A quorum queue that was declared less than about three seconds before is lost then: RabbitMQ 3.10
   * writes its register of queues with that delay. {@link stop} keeps it.
   */
  override async kill(): Promise<void> {
    await super.kill();
    await this.epmd.kill();
  }

  /** Runs `rabbitmqctl` on this node; takes a second or two. @returns its output. @throws with its error output. */
  async ctl(...args: string[]): Promise<string> {
    const program = findProgram('rabbitmqctl', rabbitmqFolders);
    const environment = this.ctlEnvironment;
    const { stdout } = await promisify(execFile)(program, ['--quiet', ...args], {
      env: environment,
      timeout: ctlLimitMs,
    });
    return stdout;
  }

  /** In which `rabbitmqctl` finds this node, with Debian's own one, which does not change the user, first on PATH. */
  get ctlEnvironment(): NodeJS.ProcessEnv {
    return {
      ...environmentWithout('RABBITMQ'),
      PATH: `/usr/lib/rabbitmq/bin:${process.env['PATH'] ?? ''}`,
      HOME: this.folder,
      ERL_EPMD_ADDRESS: '127.0.0.1',
      ERL_EPMD_PORT: String(this.ports.epmd),
      RABBITMQ_CONF_ENV_FILE: '/dev/null',
      RABBITMQ_NODENAME: nodeName,
    };
  }

  protected command(): Command {
    const inFolder = (name: string) => join(this.folder, name);
    mkdirSync(this.folder, { recursive: true });
    writeFileSync(inFolder('rabbitmq.conf'), this.configuration());
    const plugins = [...(this.management ? ['rabbitmq_management'] : []), ...(this.own.plugins ?? [])];
    writeFileSync(inFolder('enabled_plugins'), `[${plugins.join(',')}].\n`);
    return {
      // Debian's wrapper on PATH changes the user; this is what it wraps. Elsewhere the one on PATH is the same.
      program: findProgram('rabbitmq-server', rabbitmqFolders),
      args: [],
      environment: {
        ...environmentWithout('RABBITMQ'),
        // The script then replaces itself by the Erlang machine instead of waiting for it, so that our pid is the server's.
        RUNNING_UNDER_SYSTEMD: 'true',
        HOME: this.folder, // For Erlang's cookie.
        ERL_EPMD_ADDRESS: '127.0.0.1',
        ERL_EPMD_PORT: String(this.ports.epmd),
        RABBITMQ_CONF_ENV_FILE: '/dev/null',
        RABBITMQ_CONFIG_FILE: inFolder('rabbitmq.conf'),
        RABBITMQ_ADVANCED_CONFIG_FILE: inFolder('advanced.config'),
        RABBITMQ_GENERATED_CONFIG_DIR: inFolder('generated'),
        RABBITMQ_ENABLED_PLUGINS_FILE: inFolder('enabled_plugins'),
        RABBITMQ_FEATURE_FLAGS_FILE: inFolder('feature_flags'),
        RABBITMQ_MNESIA_BASE: inFolder('data'),
        RABBITMQ_PID_FILE: inFolder('rabbitmq.pid'),
        RABBITMQ_LOG_BASE: inFolder('logs'),
        RABBITMQ_LOGS: '-', // To our log file.
        RABBITMQ_NODENAME: nodeName,
        RABBITMQ_NODE_IP_ADDRESS: '127.0.0.1',
        RABBITMQ_NODE_PORT: String(this.ports.amqp),
        RABBITMQ_DIST_PORT: String(this.ports.distribution),
        // Bound to processors, its threads would wait for what else runs there: erl(1), +sbt.
        RABBITMQ_SCHEDULER_BIND_TYPE: 'u',
        RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS: '-kernel inet_dist_use_interface {127,0,0,1} -start_epmd false',
      },
    };
  }

  protected async probe(): Promise<void> {
    await acceptsConnections(this.ports.amqp);
    const connection = await connect(this.url, { timeout: 5_000 });
    connection.on('error', () => {}); // It may break at any time while the server is not up.
    await connection.close();
  }

  private configuration(): string {
    return [
      'log.console.level = warning',
      'disk_free_limit.absolute = 50MB',
      ...(this.own.clusterName === undefined ? [] : [`cluster_name = ${this.own.clusterName}`]),
      ...(this.management
        ? [`management.tcp.ip = 127.0.0.1`, `management.tcp.port = ${this.ports.management}`]
        : []),
      ...(this.tls
        ? [
            `listeners.ssl.1 = 127.0.0.1:${this.ports.amqps}`,
            `ssl_options.certfile = ${this.tls.certFile}`,
            `ssl_options.keyfile = ${this.tls.keyFile}`,
            ...(this.tls.clientCaFile === undefined
              ? []
              : [
                  `ssl_options.cacertfile = ${this.tls.clientCaFile}`,
                  'ssl_options.verify = verify_peer',
                  'ssl_options.fail_if_no_peer_cert = true',
                ]),
          ]
        : []),
      '',
    ].join('\n');
  }
}

/** Starts RabbitMQ on free ports of 127.0.0.1 and waits until it accepts AMQP connections. */
export async function startRabbitmqServer(options: RabbitmqOptions): Promise<RabbitmqServer> {
  const { folder, reaper, management = false, tls, ...more } = options;
  return startOnFreePorts(async () => {
    const [amqp = 0, distribution = 0, epmd = 0, http = 0, amqps = 0] = await freePorts(5);
    const ports = { amqp, distribution, epmd, management: http, amqps };
    const own = { reaper, logFile: join(folder, 'rabbitmq.log') };
    return new RabbitmqServer(folder, ports, management, own, tls, more);
  });
}
