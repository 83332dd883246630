import { join } from 'node:path';
import { findProgram } from './find-program';
import { freePorts } from './free-port';
import { acceptsConnections, Server, startOnFreePorts, type Command, type ServerOptions } from './server';

/** What a toxic does to a connection, as Toxiproxy names it; times in milliseconds, rates in KB/s. */
export type Toxic =
  | { type: 'latency'; attributes: { latency: number; jitter?: number } }
  | { type: 'timeout'; attributes: { timeout: number } }
  | { type: 'bandwidth'; attributes: { rate: number } }
  | { type: 'slow_close'; attributes: { delay: number } }
  | { type: 'reset_peer'; attributes: { timeout: number } }
  | { type: 'limit_data'; attributes: { bytes: number } };

/** `upstream`: from the client to the server; `downstream`: back. */
export type Direction = 'upstream' | 'downstream';

/** One proxied address, through which a test can disturb a connection. */
export class Proxy {
  constructor(
    private readonly call: (method: string, path: string, body?: unknown) => Promise<void>,
    readonly name: string,
    /** What clients connect to: `host:port`. */
    readonly address: string,
    /** What it forwards to. */
    readonly upstream: string,
  ) {}

  /** Disturbs all connections, present and new, in one direction. `name` tells it apart from others for {@link removeToxic}. */
  addToxic(name: string, direction: Direction, toxic: Toxic): Promise<void> {
    return this.call('POST', `/proxies/${this.name}/toxics`, { name, stream: direction, ...toxic });
  }

  removeToxic(name: string): Promise<void> {
    return this.call('DELETE', `/proxies/${this.name}/toxics/${name}`);
  }

  /** Closes all connections and refuses new ones. */
  disable(): Promise<void> {
    return this.call('POST', `/proxies/${this.name}`, { enabled: false });
  }

  enable(): Promise<void> {
    return this.call('POST', `/proxies/${this.name}`, { enabled: true });
  }

  remove(): Promise<void> {
    return this.call('DELETE', `/proxies/${this.name}`);
  }
}

/** A Toxiproxy process: TCP proxies that delay, cut and reset connections. */
export class ToxiproxyServer extends Server {
  constructor(
    private readonly port: number,
    options: ServerOptions,
  ) {
    super('toxiproxy', options);
  }

  /** A new proxy in front of `upstream` (`host:port`), on an address of this machine. */
  async proxy(name: string, upstream: string, host = '127.0.0.1'): Promise<Proxy> {
    const [port] = await freePorts(1);
    const address = `${host}:${port}`;
    const call = (method: string, path: string, body?: unknown) => this.call(method, path, body);
    await call('POST', '/proxies', { name, listen: address, upstream, enabled: true });
    return new Proxy(call, name, address, upstream);
  }

  protected command(): Command {
    return {
      program: findProgram('toxiproxy-server'),
      args: ['-host', '127.0.0.1', '-port', String(this.port)],
    };
  }

  protected probe(): Promise<void> {
    return acceptsConnections(this.port);
  }

  private async call(method: string, path: string, body?: unknown): Promise<void> {
    const response = await fetch(`http://127.0.0.1:${this.port}${path}`, {
      method,
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(5_000),
    });
    if (!response.ok) {
      throw new Error(
        `toxiproxy answered ${method} ${path} with ${response.status}: ${await response.text()}`,
      );
    }
  }
}

/** Starts Toxiproxy on a free port of 127.0.0.1. Its log goes to `folder`. */
export async function startToxiproxyServer(options: {
  reaper: ServerOptions['reaper'];
  folder: string;
}): Promise<ToxiproxyServer> {
  return startOnFreePorts(async () => {
    const [port] = (await freePorts(1)) as [number];
    return new ToxiproxyServer(port, {
      reaper: options.reaper,
      logFile: join(options.folder, 'toxiproxy.log'),
    });
  });
}
