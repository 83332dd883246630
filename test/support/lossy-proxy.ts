import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';

/** A TCP proxy for what Toxiproxy cannot do: swallow or hold back the answers, or the requests, from a moment on. */
export class LossyProxy {
  private readonly sockets = new Set<Socket>();
  private readonly silenced = new WeakSet<Socket>();
  private swallowing = false;
  private readonly requests = new Gate();
  private readonly answers = new Gate();

  private constructor(
    private readonly server: Server,
    readonly address: string,
  ) {}

  /** `target` is `host:port`. */
  static async start(target: string): Promise<LossyProxy> {
    const [host, port] = target.replace(/^https?:\/\//, '').split(':');
    const server = createServer();
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const bound = server.address();
    if (bound === null || typeof bound === 'string') throw new Error('the proxy has no port');
    const proxy = new LossyProxy(server, `127.0.0.1:${bound.port}`);
    server.on('connection', (client) => proxy.join(client, connect(Number(port), host)));
    return proxy;
  }

  /** From now on everything from server to client disappears, on all connections; requests still arrive. */
  swallowAnswers(): void {
    this.swallowing = true;
  }

  deliverAnswers(): void {
    this.swallowing = false;
    this.answers.open();
  }

  /** From now on what comes from the server waits until `deliverAnswers`; requests still arrive. */
  holdAnswersBack(): void {
    this.answers.close();
  }

  /** From now on what clients send waits until `deliverRequests`; answers still arrive. */
  holdRequestsBack(): void {
    this.requests.close();
  }

  deliverRequests(): void {
    this.requests.open();
  }

  /** The present connections stay open and say nothing any more, as after a firewall's reset; new ones work. */
  silencePresentConnections(): void {
    for (const socket of this.sockets) this.silenced.add(socket);
  }

  /** Ends all connections; new ones are accepted. What was swallowed is lost for good. */
  cut(): void {
    for (const socket of this.sockets) socket.destroy();
  }

  async close(): Promise<void> {
    this.cut();
    this.server.close();
    await once(this.server, 'close');
  }

  private join(client: Socket, server: Socket): void {
    for (const [socket, other] of [
      [client, server],
      [server, client],
    ] as const) {
      this.sockets.add(socket);
      socket.setNoDelay(true);
      socket.on('error', () => other.destroy());
      socket.on('close', () => {
        this.sockets.delete(socket);
        other.destroy();
      });
    }
    client.on('data', (chunk) => this.requests.pass(() => server.write(chunk)));
    server.on('data', (chunk) => {
      if (this.swallowing || this.silenced.has(client)) return;
      this.answers.pass(() => client.write(chunk));
    });
  }
}

/** One direction. Lets through, or holds in its order what comes while it is closed. */
class Gate {
  private held: (() => void)[] | null = null;

  close(): void {
    this.held ??= [];
  }

  open(): void {
    for (const deliver of this.held ?? []) deliver();
    this.held = null;
  }

  pass(deliver: () => void): void {
    if (this.held) this.held.push(deliver);
    else deliver();
  }
}
