import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';

/** A TCP proxy for what Toxiproxy cannot do: swallow or hold back the answers, or the requests, from a moment on. */
export class LossyProxy {
  private readonly sockets = new Set<Socket>();
  private readonly silenced = new WeakSet<Socket>();
  private swallowing = false;
  /** What has come meanwhile, in its order; `null` while nothing is held back. */
  private heldBack: (() => void)[] | null = null;
  /** The same of what clients have sent. */
  private heldRequests: (() => void)[] | null = null;

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
    for (const deliver of this.heldBack ?? []) deliver();
    this.heldBack = null;
  }

  /** From now on what comes from the server waits until `deliverAnswers`; requests still arrive. */
  holdAnswersBack(): void {
    this.heldBack ??= [];
  }

  /** From now on what clients send waits until `deliverRequests`; answers still arrive. */
  holdRequestsBack(): void {
    this.heldRequests ??= [];
  }

  deliverRequests(): void {
    for (const deliver of this.heldRequests ?? []) deliver();
    this.heldRequests = null;
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
    client.on('data', (chunk) => {
      if (this.heldRequests) this.heldRequests.push(() => server.write(chunk));
      else server.write(chunk);
    });
    server.on('data', (chunk) => {
      if (this.swallowing || this.silenced.has(client)) return;
      if (this.heldBack) this.heldBack.push(() => client.write(chunk));
      else client.write(chunk);
    });
  }
}
