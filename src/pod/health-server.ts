import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Logger } from 'pino';

/** What the agent says about itself. The calls answer at once and never throw on purpose. */
export interface HealthPort {
  /** Not ok only when this process should be replaced: a tenure past its deadline, or a stuck loop. */
  health(): { ok: boolean; why: string };
  /** Ok when the candidate of every lock is ready, or holds it. */
  readiness(): { ok: boolean; why: string; locks: { lock: string; ok: boolean; why: string }[] };
  /** Prometheus text format. */
  metrics(): Promise<string>;
}

export interface HealthAddress {
  host: string;
  /** 0 takes any free port. */
  port: number;
}

const requestLimitMs = 5_000;
const checkIntervalMs = 1_000;
const idleLimitMs = 10_000;

/** `/healthz`, `/readyz` and `/metrics` over plain HTTP: for probes and scrapers inside the cluster. */
export class HealthServer {
  private readonly server: Server;
  private closing: Promise<void> | undefined;

  constructor(
    private readonly address: HealthAddress,
    private readonly source: HealthPort,
    private readonly logger: Logger,
  ) {
    this.server = createServer(
      {
        maxHeaderSize: 8192,
        headersTimeout: requestLimitMs,
        requestTimeout: requestLimitMs,
        keepAliveTimeout: requestLimitMs,
        // Node looks every 30 s by itself: until then 256 slow senders would keep every probe out.
        connectionsCheckingInterval: checkIntervalMs,
      },
      (request, response) => void this.answer(request, response),
    );
    this.server.maxConnections = 256;
    // Also one that does not read its answer.
    this.server.timeout = idleLimitMs;
  }

  /** @throws Error naming the address, when it cannot be listened on. */
  async open(): Promise<HealthAddress> {
    const { host, port } = this.address;
    await new Promise<void>((resolve, reject) => {
      this.server.once('error', (cause) =>
        reject(new Error(`health server cannot listen on ${host}:${port}: ${cause.message}`, { cause })),
      );
      this.server.listen({ host, port }, resolve);
    });
    this.server.removeAllListeners('error');
    this.server.on('error', (err) => this.logger.error({ err }, 'health server failed'));
    const { address, port: bound } = this.server.address() as AddressInfo;
    this.logger.info(
      { healthHost: address, healthPort: bound },
      `health server listens on ${address}:${bound}`,
    );
    return { host: address, port: bound };
  }

  /** Idempotent. Cuts open connections: a scraper that keeps one must not delay the shutdown. */
  close(): Promise<void> {
    this.closing ??= new Promise((resolve) => {
      // The callback's error says that the server was never open, which is what was wanted.
      this.server.close(() => resolve());
      this.server.closeAllConnections();
    });
    return this.closing;
  }

  private async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      const { status, type, body } = await this.page(request);
      response.writeHead(status, {
        'content-type': type,
        'content-length': Buffer.byteLength(body),
        'cache-control': 'no-store',
        ...(status === 405 && { allow: 'GET, HEAD' }),
        // A body that nobody reads must not hold up the connection.
        ...(status === 405 && { connection: 'close' }),
      });
      response.end(request.method === 'HEAD' ? undefined : body);
    } catch (err) {
      this.logger.error({ err, url: request.url }, 'health request failed');
      if (!response.headersSent) response.writeHead(500, { 'content-type': 'text/plain' });
      response.end('internal error\n');
    }
  }

  private async page(request: IncomingMessage): Promise<{ status: number; type: string; body: string }> {
    if (request.method !== 'GET' && request.method !== 'HEAD')
      return { status: 405, type: 'text/plain', body: 'only GET and HEAD\n' };
    switch (request.url?.split('?', 1)[0]) {
      case '/healthz':
        return verdict(this.source.health());
      case '/readyz':
        return verdict(this.source.readiness());
      case '/metrics':
        return {
          status: 200,
          type: 'text/plain; version=0.0.4; charset=utf-8',
          body: await this.source.metrics(),
        };
      default:
        return { status: 404, type: 'text/plain', body: 'there are /healthz, /readyz and /metrics\n' };
    }
  }
}

function verdict(answer: { ok: boolean }): { status: number; type: string; body: string } {
  return { status: answer.ok ? 200 : 503, type: 'application/json', body: `${JSON.stringify(answer)}\n` };
}
